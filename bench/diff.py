"""Compare two versions of a manifest of a million clips that differ in 7,000, beside what people use instead.

python bench/diff.py [--clips N] [--peers PYTHON] [--out FILE]

PYTHON has datacompy and daff, which ask for an older pandas than earmark: `uv venv /tmp/peers && uv pip install
--python /tmp/peers datacompy daff`. A peer that is not there is said to lack. A peer only says which rows differ;
earmark also reads git, counts class balance, minutes and groups, and words the result.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd

from curation import files, tables

RELABELLED, ADDED, REMOVED = 0.006, 0.0005, 0.0005  # shares: of a million, 7,000 changes
LIMIT_S = 300
READ = """
import sys
import pandas as pd
def read(version):
    clips, labels = (pd.read_csv(f"{version}/data/{name}.csv", dtype=str) for name in ("clips", "labels"))
    return clips.merge(labels, on="clip_id", suffixes=("_given", ""))
"""
PEERS = {
    "pandas.merge": READ
    + """
both = read("before").merge(read("after"), on="clip_id", how="outer", indicator=True, suffixes=("_before", "_after"))
kept = both[both["_merge"] == "both"]
print((kept["label_before"] != kept["label_after"]).sum() + (both["_merge"] != "both").sum())
""",
    "datacompy": READ
    + """
import datacompy
found = datacompy.PandasCompare(read("before"), read("after"), join_columns="clip_id")
kept = found.intersect_rows
print((~kept["label_match"]).sum() + len(found.df1_unq_rows) + len(found.df2_unq_rows))
""",
    "daff": """
import csv, daff
before, after = (list(csv.reader(open(f"{version}/data/labels.csv"))) for version in ("before", "after"))
flags = daff.CompareFlags()
flags.ids = ["clip_id"]
views = [daff.PythonTableView(table) for table in (before, after)]
out = []
daff.TableDiff(daff.compareTables(*views, flags).align(), flags).hilite(daff.PythonTableView(out))
print(sum(row[0] in ("->", "+++", "---") for row in out))
""",
}


def manifest(clips: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return `tables.CLIPS` and `tables.LABELS` of so many clips."""
    rng = np.random.default_rng(seed)
    fill = {"text": "wav/pcm_16", "int": 1, "float": 0.25, "bool": False}
    table = pd.DataFrame({name: fill[column.kind] for name, column in tables.CLIPS.columns.items()}, index=range(clips))
    table["clip_id"] = [f"{number:016x}" for number in rng.permutation(clips * 16)[:clips]]
    table["file"] = [f"site-{n % 97:02}/rec-{n:07}.wav" for n in range(clips)]
    table["label"] = np.where(rng.random(clips) < 0.4, "safe", "harmful")
    table["group"] = [f"session-{n // 3}" for n in range(clips)]
    table["duration_s"] = rng.uniform(0.5, 8, clips).round(2)
    labels = table[["clip_id", "label"]].assign(origin="given", confidence=np.nan, answers=0)
    return table.sort_values("clip_id"), labels.sort_values("clip_id")


def write(clips: pd.DataFrame, labels: pd.DataFrame, folder: Path) -> None:
    """Write both tables as earmark does."""
    tables.write(clips, folder / "data/clips.csv", tables.CLIPS)
    tables.write(labels, folder / "data/labels.csv", tables.LABELS)


def change(clips: pd.DataFrame, labels: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Return the later version, and how many clips differ."""
    rng = np.random.default_rng(seed)
    relabelled, added, removed = (round(len(clips) * share) for share in (RELABELLED, ADDED, REMOVED))
    chosen = rng.permutation(len(clips))
    turned = chosen[:relabelled]
    labels = labels.reset_index(drop=True)
    labels.loc[turned, "label"] = labels.loc[turned, "label"].map({"safe": "harmful", "harmful": "safe"})
    labels.loc[turned, "origin"] = "review"
    keep = np.sort(chosen[: len(clips) - removed])
    fresh = clips.head(added).assign(clip_id=[f"f{number:015x}" for number in range(added)])
    later = pd.concat([clips.iloc[keep], fresh])
    given = fresh[["clip_id", "label"]].assign(origin="given", confidence=np.nan, answers=0)
    return later, pd.concat([labels.iloc[keep], given]), relabelled + added + removed


def measure(command: list[str], folder: Path) -> dict[str, files.Json]:
    """Return seconds and peak memory of a command, and the last line it prints; `lacks` when a module is missing."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(["timeout", str(LIMIT_S), *command], cwd=folder, stdout=out, stderr=err)
        _, status, used = os.wait4(process.pid, 0)
        out.seek(0), err.seek(0)
        said, failed = out.read(), err.read()
    code = os.waitstatus_to_exitcode(status)
    if code:
        why = "not installed" if "ModuleNotFoundError" in failed else f"ended with {code}"
        return {"lacks": f"more than {LIMIT_S} s" if code == 124 else why}
    return {
        "wall_s": time.monotonic() - began,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_gb": used.ru_maxrss / 1e6,
        "said": said.strip().splitlines()[0],
    }


def found_changes(said: str) -> int:
    """Return how many clips a line says are changed: a number, or a verdict of `earmark diff`."""
    counts = re.findall(r"(\d+) (?:relabelled|added|removed)", said)
    return sum(map(int, counts)) if counts else int(said)


def git(folder: Path, *arguments: str) -> None:
    """Run git in `folder` as somebody."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@click.command()
@click.option("--clips", default=1_000_000, show_default=True)
@click.option("--peers", default=sys.executable, show_default=True, help="A Python with the peers.")
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file.")
def main(clips: int, peers: str, out: Path | None) -> None:
    """Print seconds and memory of earmark and its peers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, labels = manifest(clips, seed=0)
        write(table, labels, folder / "before")
        *later, changed = change(table, labels, seed=1)
        write(*later, folder / "after")
        for when in ("before", "after"):  # one repository: the first version committed, the second lying there
            (folder / "repository/data").mkdir(parents=True, exist_ok=True)
            for file in (folder / when / "data").iterdir():
                (folder / "repository/data" / file.name).write_bytes(file.read_bytes())
            if when == "before":
                git(folder / "repository", "init", "--quiet", "--initial-branch", "main")
                git(folder / "repository", "add", "--all")
                git(folder / "repository", "commit", "--quiet", "--message", "Before")
        command = [sys.executable, "-c", "from curation.cli import main; main()", "diff", "HEAD"]
        found = {"earmark diff": measure(command, folder / "repository")}
        found |= {peer: measure([peers, "-c", script], folder) for peer, script in PEERS.items()}
    click.echo(f"{clips} clips, {changed} changed")
    for who, figures in found.items():
        figures = {key: f"{value:.1f}" if isinstance(value, float) else value for key, value in figures.items()}
        click.echo(f"{who:>14} " + ", ".join(f"{key} {value}" for key, value in figures.items()))
    for who, figures in found.items():
        if "said" in figures:
            assert found_changes(str(figures["said"])) == changed, f"{who} does not find the {changed} changes"
    if out:
        files.write_json({"clips": clips, "changed": changed, "found": found}, out)


if __name__ == "__main__":
    main()
