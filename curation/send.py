"""Hand the queue over to people: the tasks, in Label Studio's import format."""

from pathlib import Path

import click
import pandas as pd
from pydantic import Field

from curation import clips, files, params, tables


class Params(params.Section):
    """Section `send` of params.yaml."""

    audio_prefix: str = Field(min_length=1)  # address of the clips for the annotator's browser, ends before the name


def send(queue: pd.DataFrame, p: Params) -> list[files.Json]:
    """Return one task a clip, in order of listening.

    The tasks are blind: they hold neither the given label nor a model's guess nor the reason for asking, because an
    annotator who sees a guess tends to agree with it.
    """
    return [
        {"data": {"audio": f"{p.audio_prefix}{clip_id}{clips.SUFFIX}", "clip_id": clip_id, "rank": rank}}
        for clip_id, rank in queue.sort_values("rank")[["clip_id", "rank"]].itertuples(index=False)
    ]


@click.command()
@click.option("--queue", type=click.Path(path_type=Path), required=True, help="What people should hear next.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the tasks go.")
def main(queue: Path, out: Path) -> None:
    """Write the tasks file; it imports into any Label Studio as it is."""
    tasks = send(tables.read(queue, tables.QUEUE), Params.load("send"))
    files.write_json(tasks, out)
    click.echo(f"send: {len(tasks)} tasks in {out}")


if __name__ == "__main__":
    main()
