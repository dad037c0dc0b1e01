"""Seal the test set: the hash of its clips and labels stands in git, so that none of them changes unsaid."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import click
import pandas as pd

from curation import tables, versions

TEST = -1
EPILOG = """\b
The first seal says which clips and labels the models are judged by. After a
change to them `earmark gate` fails, until the change brings a new seal, which
has a date and a reason. Rows are only ever added: data/seal.csv is the history
of the test set.

\b
Examples:
  earmark seal --reason "first test set"
  earmark seal --reason "12 labels corrected after a second listening"
"""


def fingerprint(labels: pd.DataFrame, folds: pd.DataFrame) -> tuple[int, str]:
    """Return the number of test clips, and the SHA-256 of their ids and labels in order of the ids."""
    tested = folds.loc[folds["fold"] == TEST, ["clip_id"]].merge(labels, on="clip_id", validate="one_to_one")
    rows = sorted(zip(tested["clip_id"], tested["label"], strict=True))
    return len(rows), hashlib.sha256(repr(rows).encode()).hexdigest()


def seal(seals: pd.DataFrame, clips: int, sha256: str, *, date: str, reason: str) -> pd.DataFrame:
    """Return `seals` (`tables.SEAL`) with one more row."""
    row = {"number": len(seals), "date": date, "clips": clips, "sha256": sha256, "reason": reason}
    return pd.concat([seals, pd.DataFrame([row])], ignore_index=True)


def broken(seals: pd.DataFrame, clips: int, sha256: str) -> str:
    """Return why the test set is not the one sealed last, or nothing."""
    last = seals.iloc[-1]
    if last["sha256"] == sha256:
        return ""
    return (
        f"its {clips} clips and their labels are not the {last['clips']} sealed on {last['date']}; when that is meant, "
        'run `earmark seal --reason "..."` and commit data/seal.csv with the change'
    )


def rewritten(path: Path) -> bool:
    """Return whether rows of the table of seals that stand where this branch left main were altered or taken away."""
    before = versions.read(path, versions.branching_point())
    now = path.read_bytes() if path.exists() else b""
    return before is not None and not now.startswith(before)


@click.command(epilog=EPILOG)
@click.option("--reason", required=True, help="Why the test set is as it is now; stands in git.")
@click.option(
    "--data", type=click.Path(path_type=Path), default="data", show_default=True, help="Where the tables are."
)
def main(reason: str, data: Path) -> None:
    """Seal the test set as it is now, with today's date and a reason."""
    if not reason.strip():
        raise click.UsageError("--reason is empty: say why the test set is as it is now.")
    labels, folds = tables.read(data / "labels.csv", tables.LABELS), tables.read(data / "folds.csv", tables.FOLDS)
    clips, sha256 = fingerprint(labels, folds)
    if not clips:
        raise click.ClickException(
            f"{data}/folds.csv has no test fold: the models are judged by cross-validation, and there is nothing to "
            "seal. `split.test_from_clips` in params.yaml says from how many clips on there is one."
        )
    path = data / "seal.csv"
    seals = tables.read_or_empty(path, tables.SEAL)
    if len(seals) and not broken(seals, clips, sha256):
        click.echo(f"seal: {path} has it already")
        return
    date = datetime.now(tz=UTC).date().isoformat()
    tables.write(seal(seals, clips, sha256, date=date, reason=reason), path, tables.SEAL)
    click.echo(f"seal: {clips} clips, {path}")


if __name__ == "__main__":
    main()
