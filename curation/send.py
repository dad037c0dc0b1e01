"""Hand the queue over to people: as a file in Label Studio's import format, and to the server when there is one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import click
import pandas as pd
from pydantic import Field

from curation import clips, files, label_studio, page, params, push, tables


class Params(params.Section):
    """Section `send` of params.yaml."""

    audio_prefix: str = Field(min_length=1)  # address of the clips for the annotator's browser, ends before the name


def send(
    queue: pd.DataFrame, scores: pd.DataFrame, p: Params, *, shown: Literal["blind", "hinted"]
) -> list[files.Json]:
    """Return one task a clip, in order of listening.

    The tasks hold neither the given label nor the reason for asking, and a model's guess only where it is `shown`,
    because annotators who see a guess tend to agree with it. Whether it is goes along, to be stored with the answer.
    """
    guesses = push.predictions(scores)[1] if shown == "hinted" else {}
    return [
        {
            "data": {
                "audio": f"{p.audio_prefix}{clip_id}{clips.SUFFIX}",
                "clip_id": clip_id,
                "rank": rank,
                "shown": shown,
            },
            **({"predictions": [guesses[clip_id]]} if clip_id in guesses else {}),
        }
        for clip_id, rank in queue.sort_values("rank")[["clip_id", "rank"]].itertuples(index=False)
    ]


@click.command()
@click.option("--queue", type=click.Path(path_type=Path), required=True, help="What people should hear next.")
@click.option("--labels", type=click.Path(path_type=Path), required=True, help="Today's labels, for examples.")
@click.option("--scores", type=click.Path(path_type=Path), required=True, help="The model's view, to be shown or not.")
@click.option("--flags", type=click.Path(path_type=Path), required=True, help="The doubts: no examples.")
@click.option("--reviews", type=click.Path(path_type=Path), required=True, help="The answers that are home.")
@click.option("--audio", type=click.Path(path_type=Path), required=True, help="The sound of the clips.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the tasks go.")
@click.option("--sent", type=click.Path(path_type=Path), required=True, help="Where the server's receipt goes.")
def main(
    queue: Path, labels: Path, scores: Path, flags: Path, reviews: Path, audio: Path, out: Path, sent: Path
) -> None:
    """Write the tasks file, which imports into any Label Studio as it is, and push it to the server, if one is set."""
    shown = label_studio.Params.load("label_studio").shown
    queued, scored = tables.read(queue, tables.QUEUE), tables.read(scores, tables.SCORES)
    examples = page.examples(tables.read(labels, tables.LABELS), scored, tables.read(flags, tables.FLAGS), queued)
    tasks = send(queued, scored, Params.load("send"), shown=shown)
    files.write_json(tasks, out)
    click.echo(f"send: {len(tasks)} tasks in {out}{_pushed(tasks, scored, examples, reviews, audio, sent)}")


def _pushed(
    tasks: Sequence[files.Json],
    scores: pd.DataFrame,
    examples: Mapping[str, Sequence[str]],
    reviews: Path,
    audio: Path,
    sent: Path,
) -> str:
    """Push and say what came of it. A server that is down is no reason to stop the pipeline."""
    try:
        server = label_studio.from_environment()
        if server is None:
            return ""
        receipt = push.push_and_write(tasks, scores, sent, server, reviews=reviews, clips=audio, examples=examples)
    except click.ClickException as error:
        return f"; NOT on the server: {error.message} `earmark push` does it later."
    return f"; {receipt}" + (f". {receipt.warning}" if receipt.warning else "")


if __name__ == "__main__":
    main()
