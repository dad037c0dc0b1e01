"""The command `earmark card`: the cards of the data set and of every model, to publish them with."""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from curation import dvc_lock, files, params, seal, stated, tables, versions
from curation.croissant import PUBLISHED, REQUIRED, croissant
from curation.data_card import data_card
from curation.dataset import Dataset
from curation.markdown import code
from training.model_card import Model, Weights, model_card

STAGES = ("ingest", "groups", "split", "label", "flag", "shortcuts")  # whose tables the data card tells of
NAME = re.compile(r"[A-Za-z0-9_-]+")  # of a model: it becomes the name of a file
NEEDED = {"clips", "groups", "balanced_accuracy", "recall", "faults"}  # in what is measured of a model
SHOWN = 3  # files that a message names
EPILOG = """\b
Writes DATA_CARD.md, MODEL_CARD_<model>.md, with the front matter that Hugging
Face reads, and data/croissant.json. Every figure comes from the tables as they
are here. Licence, source, consent and the like come from card.yaml, which
docs/cards.md describes; what nobody has said is called "not stated".

\b
Examples:
  earmark card                     after `git commit`: the cards name the commit
  earmark card --out ../publish    elsewhere than in reports/cards
"""


def version(ran: dvc_lock.Lock, data: Path, described: Sequence[Path], found: Dataset) -> tuple[str, str]:
    """Return the commit that holds the files `described`, empty if none does, and in Markdown which state this is."""
    commit = versions.last_change(described)
    open_changes = [code(str(path)) for path in described if not commit or not _as_committed(path, commit)]
    if commit and not open_changes:
        line = f"commit: {code(commit)}, the last one that changed anything this page tells of"
    elif commit:
        more = f" and {len(open_changes) - SHOWN} more" if len(open_changes) > SHOWN else ""
        line = f"commit: none; not committed are {', '.join(open_changes[:SHOWN])}{more}"
    else:
        line = "commit: none; nothing of this is in git"
    lines = [line, *_hashes(ran, data), f"test set: {_sealed(data, found)}"]
    return "" if open_changes else commit, "\n".join(f"- {line}" for line in lines)


def _as_committed(path: Path, commit: str) -> bool:
    try:
        return versions.read(path, commit) == path.read_bytes()
    except FileNotFoundError:  # DVC knows it, and has it nowhere
        return False


def _hashes(ran: dvc_lock.Lock, data: Path) -> Iterator[str]:
    for name, folder in (("recordings", data / "raw"), ("clips", data / "clips")):
        if md5 := ran.md5(str(folder)):
            yield f"{name}: {code(md5)}, the MD5 by which DVC finds them"


def _sealed(data: Path, found: Dataset) -> str:
    if not found.has_test:
        return "there is none"
    path = data / "seal.csv"
    seals = tables.read_or_empty(path, tables.SEAL)
    if not len(seals):
        return "not sealed"
    clips, sha256 = seal.fingerprint(found.labels, found.folds)
    last = seals.iloc[-1]
    said = f"sealed on {code(last['date'])} ({code(last['reason'])}), SHA-256 {code(last['sha256'])}"
    return said if not seal.broken(seals, clips, sha256) else f"{said}; it is another one now"


def dataset(data: Path, reports: Path, ran: dvc_lock.Lock) -> Dataset:
    """Read the tables of the data set."""
    flagging = _json(reports / "flags.json")
    return Dataset(
        data=_settings(ran),
        clips=tables.read(data / "clips.csv", tables.CLIPS),
        rejects=tables.read(data / "rejects.csv", tables.REJECTS),
        labels=tables.read(data / "labels.csv", tables.LABELS),
        groups=tables.read(data / "groups.csv", tables.GROUPS),
        folds=tables.read(data / "folds.csv", tables.FOLDS),
        reviews=tables.read(data / "reviews.csv", tables.REVIEWS),
        flags=tables.read(data / "flags.csv", tables.FLAGS),
        shortcuts=tables.read(data / "shortcuts.csv", tables.SHORTCUTS),
        refused=str(flagging.get("why", "")) if flagging.get("label_issues") == "refused" else "",
    )


def _settings(ran: dvc_lock.Lock) -> params.Data:
    try:
        return params.Data.model_validate(ran.params("label")["data"])
    except (KeyError, ValidationError) as error:
        raise click.ClickException(f"{dvc_lock.PATH} tells nothing of stage `label`. Run `dvc repro` first.") from error


def models(
    measured: Mapping[str, Any],
    shifted: Mapping[str, Any],
    data: Path,
    folder: Path,
    ran: dvc_lock.Lock,
    *,
    rounds: list[str],
) -> Iterator[Model]:
    """Yield what is known of each model that was `measured`; `shifted` tells of some what changed clips cost them."""
    for name, figures in measured.items():
        if not NAME.fullmatch(name) or not isinstance(figures, dict) or not set(figures) >= NEEDED:
            raise click.ClickException(
                f"metrics.json: {name!r} is no model that stage `evaluate` judged. `dvc repro` judges them anew."
            )
        built = _json(folder / name / "model.json") if (folder / name / "model.json").exists() else {}
        of = built.get("of", [name])
        trained = {key: value for one in of for key, value in ran.params(_trained_by(one, ran)).items()}
        if built and built.get("rounds") != rounds:
            raise click.ClickException(
                f"{folder / name} holds the rounds {built.get('rounds')}, and the folds ask for {rounds}. "
                f"`dvc checkout {folder / name}` brings the weights that were judged."
            )
        yield Model(
            name=name,
            measured=figures,
            shifted=shifted.get(name, {}),
            recipe=trained and {one: trained.get(one) for one in of} | trained | ran.params("balance"),
            train=tables.read(data / "train.csv", tables.TRAIN),
            folder=folder / name,
            built=built,
            weights={
                turn: _weights(folder / name / f"{turn}.safetensors") for turn in rounds if built and of == [name]
            },
        )


def _trained_by(model: str, ran: dvc_lock.Lock) -> str:
    """Return the stage that made a model: an instance of `train`, or one of the model's own name."""
    return model if model in ran.stages else f"train@{model}"


def _rounds(found: Dataset) -> list[str]:
    """Return the names of the rounds that training had."""
    return ["test"] if found.has_test else [f"fold_{fold}" for fold in sorted(found.folds["fold"].unique())]


def _weights(path: Path) -> Weights:
    try:
        with safe_open(path, "numpy") as tensors:
            numbers = sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}. `dvc checkout {path.parent}` mends it.") from error
    return Weights(numbers, path.stat().st_size)


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}. `dvc repro` makes it anew.") from error


def _check(ran: dvc_lock.Lock, stages: Sequence[str], needed: Sequence[Path]) -> None:
    """Refuse tables that are not the ones that the stages read and wrote."""
    strange = [str(path) for path in needed if not ran.md5(str(path))]
    if wrong := [*strange, *ran.changed(stages)]:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise click.ClickException(
            f"{', '.join(wrong[:SHOWN])}{more}: not as dvc.lock says that the stages read and wrote it. A card would "
            "show figures of different states side by side. Run `dvc repro` first."
        )


@click.command(epilog=EPILOG)
@click.option(
    "--facts", type=click.Path(path_type=Path), default="card.yaml", show_default=True, help="What only people can say."
)
@click.option(
    "--data", type=click.Path(path_type=Path), default="data", show_default=True, help="Where the tables are."
)
@click.option(
    "--reports", type=click.Path(path_type=Path), default="reports", show_default=True, help="Where metrics.json is."
)
@click.option(
    "--models",
    "folder",
    type=click.Path(path_type=Path),
    default="models",
    show_default=True,
    help="Where weights are.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default="reports/cards", show_default=True, help="Where the cards go."
)
def main(facts: Path, data: Path, reports: Path, folder: Path, out: Path) -> None:
    """Write the cards of the data set and of its models, and data/croissant.json, from what was measured."""
    said, ran, metrics, shifts = stated.read(facts), dvc_lock.read(), reports / "metrics.json", reports / "shifts.json"
    measured, shifted = (_json(path) if path.exists() else {} for path in (metrics, shifts))
    needed = [*_needed(data, reports, measured), *([shifts] if shifted else [])]
    _check(ran, _stages(measured, ran), needed)
    found = dataset(data, reports, ran)
    maybe = [path for path in (facts, data / "seal.csv") if path.exists()]
    commit, state = version(ran, data, [*needed, *maybe, dvc_lock.PATH], found)
    cards = {out / "DATA_CARD.md": data_card(found, said, state, folder=data)}
    for model in models(measured, shifted, data, folder, ran, rounds=_rounds(found)):
        text = model_card(model, found, said, state, commit=commit, audio=data / "clips")
        cards[out / f"MODEL_CARD_{model.name}.md"] = text
    sha256 = {table.name: hashlib.sha256((data / table.name).read_bytes()).hexdigest() for table in PUBLISHED}
    for path, text in cards.items():
        files.write_text(text, path)
    files.write_json(croissant(said.data, found.summary(), sha256, audio="clips"), data / "croissant.json")
    click.echo(f"card: {', '.join(map(str, [*cards, data / 'croissant.json']))}")
    for note in _notes(said, metrics, measured, commit):
        click.echo(f"card: {note}")


def _needed(data: Path, reports: Path, measured: Mapping[str, Any]) -> list[Path]:
    names = [*(table.name for table in PUBLISHED), "rejects.csv", "reviews.csv", "flags.csv", "shortcuts.csv"]
    of_models = [data / "train.csv", reports / "metrics.json"] if measured else []
    return [*(data / name for name in names), reports / "flags.json", *of_models]


def _stages(measured: Mapping[str, Any], ran: dvc_lock.Lock) -> list[str]:
    made = (_trained_by(name, ran) for name in measured)
    return [*STAGES, *(["balance", *made, "evaluate", "shift"] if measured else [])]


def _notes(said: stated.Stated, metrics: Path, measured: Mapping[str, Any], commit: str) -> Iterator[str]:
    if not measured:
        yield f"no model card, because {metrics} tells of none: `dvc repro` trains and judges the models"
    if not commit:
        yield "no commit holds all that the cards tell of: commit it, then run `earmark card` again"
    if missing := said.missing():
        yield f"not stated: {', '.join(missing)}; docs/cards.md says how {said.path} states them"
    if lacking := [key for key in REQUIRED if f"data.{key}" in missing]:
        yield f"Croissant requires {', '.join(lacking)}"


if __name__ == "__main__":
    main()
