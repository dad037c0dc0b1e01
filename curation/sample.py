"""Make a demonstration corpus by code with planted faults, play its annotator, score what the pipeline found."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click
import joblib
import pandas as pd
from tqdm import tqdm

from curation import files, sample_score, tables, versions
from curation.sample_audio import content
from curation.sample_plan import ABSENT, Recording, plan

ANNOTATOR, ANSWERED_UTC = "sample", "2026-01-01T00:00:00Z"
FOUND = {
    "clips": tables.CLIPS,
    "rejects": tables.REJECTS,
    "groups": tables.GROUPS,
    "flags": tables.FLAGS,
    "labels": tables.LABELS,
    "queue": tables.QUEUE,
    "shortcuts": tables.SHORTCUTS,
}


def listed(recordings: list[Recording]) -> pd.DataFrame:
    """Return `tables.RAW`: the recordings as somebody would hand them in."""
    rows = [(r.file, r.label, r.group) for r in recordings if r.fault != "unlisted"]
    return pd.DataFrame(rows, columns=list(tables.RAW.columns))


def planted(recordings: list[Recording]) -> pd.DataFrame:
    """Return `tables.TRUTH`: what is wrong with which."""
    rows = [(r.file, r.fault, r.truth, r.twin, r.detail) for r in recordings if r.fault]
    return pd.DataFrame(rows, columns=list(tables.TRUTH.columns))


def make(recordings: list[Recording], raw: Path, table: Path, truth: Path) -> None:
    """Write the recordings and the two tables; an interruption leaves none of them.

    Raises:
        click.ClickException: there are recordings or labels already, or the disk is full.
    """
    _check_free(raw, table)
    try:
        raw.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".sample-", dir=raw.parent) as folder:
            present = [recording for recording in recordings if recording.fault not in ABSENT]
            shown = tqdm(present, "sample", unit="file", delay=2, disable=None)
            rendered = joblib.Parallel(-1)(joblib.delayed(content)(recording.audio) for recording in shown)
            for recording, data in zip(present, rendered, strict=True):
                path = Path(folder, "raw", recording.file)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            try:
                tables.write(planted(recordings), truth, tables.TRUTH)
                Path(folder, "raw").replace(raw)
                tables.write(listed(recordings), table, tables.RAW)
            except BaseException:  # a half corpus would be neither made again nor used
                shutil.rmtree(raw, ignore_errors=True)
                truth.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise files.unwritable(raw, error) from error


def _check_free(*paths: Path) -> None:
    if taken := [path for path in paths if _holds_something(path)]:
        raise click.ClickException(
            f"{taken[0]} holds something already, and a sample replaces nothing. Nothing was changed. "
            f"Move {' and '.join(map(str, taken))} away, or choose other paths with --raw and --table."
        )


def _holds_something(path: Path) -> bool:
    """Tell whether a folder has entries, or a table rows below its header."""
    if path.is_dir():
        return any(path.iterdir())
    return path.exists() and len(path.read_bytes().splitlines()) > 1


def answers(queue: pd.DataFrame, clips: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Return `tables.REVIEWS`: what somebody answers who hears each queued clip once and is never wrong."""
    heard = queue.merge(clips, on="clip_id", validate="one_to_one")
    planted = truth.drop_duplicates("file").set_index("file")["label"]
    given = pd.DataFrame(
        {
            "clip_id": heard["clip_id"],
            "annotator": ANNOTATOR,
            "reviewed_utc": ANSWERED_UTC,
            "answer": heard["file"].map(planted).fillna(heard["label"]),
            "seconds": heard["duration_s"],
            "shown": "blind",
            "asked": heard["reason"],
        }
    )
    return given.reindex(columns=list(tables.REVIEWS.columns), fill_value="")


def found(truth: Path, paths: Mapping[str, Path]) -> pd.DataFrame:
    """Return the scores of the finders whose tables are there.

    Args:
        truth: file of `tables.TRUTH`.
        paths: files of the tables that `sample_score.score` takes, by its argument names.
    """
    made = {name: tables.read(path, FOUND[name]) for name, path in paths.items() if path.exists()}
    return sample_score.score(tables.read(truth, tables.TRUTH), **made)


def _report(scores: pd.DataFrame, json: Path | None) -> None:
    click.echo(sample_score.text(scores))
    if json is not None:
        rows = scores.astype(object).where(scores.notna(), None).to_dict("records")
        files.write_json([{str(name): value for name, value in row.items()} for row in rows], json)


def _answer(truth: Path, reviews: Path, queue: Path, clips: Path) -> None:
    said = answers(tables.read(queue, tables.QUEUE), tables.read(clips, tables.CLIPS), tables.read(truth, tables.TRUTH))
    before = tables.read(reviews, tables.REVIEWS)
    said = said[~said["clip_id"].isin(before["clip_id"])]  # the queue may be from before the last answers
    tables.write(pd.concat([before, said]), reviews, tables.REVIEWS)
    click.echo(f"sample: {len(said)} answers added to {reviews}, {said['seconds'].sum() / 60:.1f} minutes of listening")
    click.echo("Next: `dvc repro`, then `earmark diff HEAD`")


def _begin(recordings: list[Recording], raw: Path, table: Path, truth: Path, dvc: bool) -> None:
    if dvc:
        versions.check_repository()
    make(recordings, raw, table, truth)
    count, faults = sum(r.fault not in ABSENT for r in recordings), sum(bool(r.fault) for r in recordings)
    click.echo(f"sample: {count} recordings in {raw}, their labels in {table}, {faults} planted faults in {truth}")
    if dvc:
        versions.dvc_add(raw)
    click.echo("Next: `dvc repro`, then `earmark sample --score`")


_PATH = click.Path(path_type=Path)


@click.command(context_settings={"show_default": True})
@click.option("--raw", type=_PATH, default="data/raw", help="Where the recordings go; must be empty.")
@click.option("--table", type=_PATH, default="data/raw.csv", help="Where their labels go.")
@click.option("--truth", type=_PATH, default="data/sample_truth.csv", help="What was planted.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Another number is another corpus.")
@click.option("--dvc/--no-dvc", default=True, help="Whether DVC tracks the recordings; it needs a DVC repository.")
@click.option("--score", is_flag=True, help="Make nothing; say which faults the pipeline found.")
@click.option("--answer", is_flag=True, help="Make nothing; answer what the queue asks, as one who is always right.")
@click.option("--reviews", type=_PATH, default="data/reviews.csv", help="With --answer: where the answers go.")
@click.option("--json", type=_PATH, help="With --score: also write the table there.")
@click.option(
    "--clips", type=_PATH, default="data/clips.csv", help="With --score or --answer, and so the tables below."
)
@click.option("--rejects", type=_PATH, default="data/rejects.csv")
@click.option("--groups", type=_PATH, default="data/groups.csv")
@click.option("--flags", type=_PATH, default="data/flags.csv")
@click.option("--labels", type=_PATH, default="data/labels.csv")
@click.option("--queue", type=_PATH, default="data/queue.csv")
@click.option("--shortcuts", type=_PATH, default="data/shortcuts.csv")
def main(
    raw: Path,
    table: Path,
    truth: Path,
    seed: int,
    dvc: bool,
    score: bool,
    json: Path | None,
    answer: bool,
    reviews: Path,
    **paths: Path,
) -> None:
    """Make a demonstration corpus of harmful and safe sounds, with wrong labels and other faults planted in it."""
    if score:
        _report(found(truth, paths), json)
    elif answer:
        _answer(truth, reviews, paths["queue"], paths["clips"])
    else:
        _begin(plan(seed), raw, table, truth, dvc)


if __name__ == "__main__":
    main()
