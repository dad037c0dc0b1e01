"""Show where in a clip a model finds what it says, on a page with its sound; or what it is fed in training."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import click
import pandas as pd
from tqdm import tqdm

from curation import files, tables, webpage
from training import explanation, live, views

PAGE = Path(__file__).parent / "explain_page"
WORST = 8  # errors shown when no clip is named
MOST_SHOWN = 3  # names in a message


def chosen(wanted: Sequence[str], table: pd.DataFrame) -> list[str]:
    """Return the clips that `wanted` names: each by its id, the beginning of it, or the path of its recording.

    Args:
        wanted: what somebody typed.
        table: `clip_id` and `file` of all clips.

    Raises:
        click.ClickException: a name is of no clip, or of several.
    """
    return list(dict.fromkeys(clip_id for name in wanted for clip_id in _named(name, table)))


def _named(name: str, table: pd.DataFrame) -> list[str]:
    of_file = table.loc[table["file"] == name.removeprefix("data/raw/"), "clip_id"].tolist()
    if of_file:
        return of_file
    begun = [clip_id for clip_id in table["clip_id"] if name and clip_id.startswith(name)]
    if len(begun) == 1:
        return begun
    if begun:
        more = " ..." if len(begun) > MOST_SHOWN else ""
        raise click.ClickException(
            f"{name} is the beginning of {len(begun)} clips: {', '.join(begun[:MOST_SHOWN])}{more}. Type more of it."
        )
    near = difflib.get_close_matches(name, [*table["clip_id"], *table["file"]], MOST_SHOWN, cutoff=0.3)
    near += [file for file in table["file"] if PurePosixPath(file).name == PurePosixPath(name).name][:MOST_SHOWN]
    hint = f"Near it: {', '.join(dict.fromkeys(near))}." if near else "data/clips.csv lists them."
    raise click.ClickException(f"{name!r} is no clip, no beginning of one, and no recording that gave one. {hint}")


def worst(predicted: Mapping[str, Mapping[str, float]], labels: Mapping[str, str]) -> list[str]:
    """Return the clips that a model gets wrong, those first whose label it holds for least probable."""
    wrong = {
        clip_id: said[labels[clip_id]]
        for clip_id, said in predicted.items()
        if labels.get(clip_id) and max(said, key=said.__getitem__) != labels[clip_id]
    }
    return sorted(wrong, key=lambda clip_id: (wrong[clip_id], clip_id))


def page(model: live.Live, clips: pd.DataFrame, audio: Path, *, lead: str = "") -> str:
    """Return the page in HTML that explains what a model says of clips; it needs no other file and no network.

    Args:
        model: which explains itself.
        clips: `clip_id`, `file` and `label` of the clips, in the order of the page.
        audio: the folder of the clips.
        lead: which clips these are, in a sentence.

    Raises:
        click.ClickException: every round may have learnt from a clip, or it cannot be read.
    """
    methods = explanation.METHODS["lite_cnn" if model.mel else "wav2vec2"]
    shown = tqdm(clips.to_dict("records"), desc="explain", unit="clip", delay=2)
    cards = [explanation.card(model, clip, audio, methods) for clip in shown]
    return webpage.render(
        PAGE, inline=True, lead=lead, version=model.version, cards=cards, axes=webpage.axes(model.data.rate_hz)
    )


def errors_page(model: live.Live, clips: pd.DataFrame, audio: Path) -> str:
    """Return the page of the worst errors of a model.

    Args:
        model: which explains itself.
        clips: `clip_id`, `file` and `label` of all clips.
        audio: the folder of the clips.

    Raises:
        click.ClickException: it makes no error, or a clip cannot be read.
    """
    wrong = worst(model.predicted, dict(zip(clips["clip_id"], clips["label"], strict=True)))
    if not wrong:
        raise click.ClickException(f"{model.version} makes no error. Name clips to see what it goes by.")
    lead = f"The worst {len(wrong[:WORST])} of {len(wrong)} errors, the most confident first."
    return page(model, _rows(clips, wrong[:WORST]), audio, lead=lead)


def _rows(clips: pd.DataFrame, clip_ids: Sequence[str]) -> pd.DataFrame:
    return clips.set_index("clip_id").loc[[*clip_ids]].reset_index()


def _known(data: Path) -> pd.DataFrame:
    labels = tables.read(data / "labels.csv", tables.LABELS)[["clip_id", "label"]]
    return tables.read(data / "clips.csv", tables.CLIPS)[["clip_id", "file"]].merge(labels, how="left").fillna("")


@click.command()
@click.argument("clip", nargs=-1)
@click.option("--model", type=click.Choice(list(live.MODELS)), default="lite_cnn", show_default=True, help="Which one.")
@click.option("--augment", is_flag=True, help="Show what the models are fed of the clips in training instead.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default="explain.html",
    show_default=True,
    help="Where the page goes.",
)
@click.option("--data", type=click.Path(path_type=Path), default="data", show_default=True, help="Tables and clips.")
@click.option("--models", type=click.Path(path_type=Path), default="models", show_default=True, help="Trained models.")
def main(clip: tuple[str, ...], model: str, augment: bool, out: Path, data: Path, models: Path) -> None:
    r"""Show on a page where in clips a model finds what it says.

    CLIP is a clip_id, the beginning of one, or the path of a recording. Without any, the worst errors of the model are
    shown, the most confident first. The model explains itself by a round that has not learnt from the clip.

    \b
    Examples:
        earmark explain
        earmark explain dog/3.wav 0a1e2d --model wav2vec2
        earmark explain --augment dog/3.wav --out views.html

    Exit status: 0 done, 1 refused.
    """
    if augment and not clip:
        raise click.UsageError("--augment shows what becomes of a clip: name one.")
    known = _known(data)
    named = _rows(known, chosen(clip, known))
    if augment:
        html = views.page(named, data / "clips")
    else:
        found = live.load(models / model, data / "predictions" / f"{model}.csv", data / "folds.csv")
        html = page(found, named, data / "clips") if clip else errors_page(found, known, data / "clips")
    files.write_text(html, out)
    click.echo(f"explain: {out}")


if __name__ == "__main__":
    main()
