"""Compare two versions of a set of a million clips, 7,000 of them relabelled, beside what people use instead.

python bench/diff.py [--clips N] [--peers PYTHON] [--out FILE]

Both versions are whole: clips, folds, groups, labels, answers, flags, scores, training list, what gave no clip, and two
models' predictions of the test fold; something differs in every table. Fails when `earmark diff` takes longer than
10 s or more than 2 GB. PYTHON has datacompy and daff, which ask for an older pandas than earmark: `uv venv /tmp/peers
&& uv pip install --python /tmp/peers datacompy daff`. A peer that is not there is said to lack. A peer only says which
rows of clips.csv and labels.csv differ; earmark also reads git and the other tables, compares the models, and words it.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from curation import files, tables

ANSWERED, FLAGGED, LEFT_OUT, REJECTED = 0.05, 0.04, 0.005, 0.001  # of the clips, in both versions
HEARD, CORRECTED = 0.005, 0.002  # of the clips: relabelled by people, and where the label came from
ADDED = REMOVED = REGROUPED = 0.0005
MODELS = {"lite_cnn": {"before": 1.0, "after": 1.1}, "wav2vec2": {"before": 0.5, "after": 0.5}}  # and their skill
LIMIT_S = 300  # of a peer
BOUNDS = {"wall_s": 10.0, "peak_gb": 2.0}  # of `earmark diff`
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


def original(count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return `tables.CLIPS` of so many clips, three a group."""
    fill = {"text": "wav/pcm_16", "int": 1, "float": 0.25, "bool": "False"}
    table = pd.DataFrame({name: fill[column.kind] for name, column in tables.CLIPS.columns.items()}, index=range(count))
    table["clip_id"] = sorted(f"{number:016x}" for number in rng.permutation(count * 16)[:count])
    order = rng.permutation(count)
    table["file"] = [f"site-{n % 97:02}/rec-{n:07}.wav" for n in order]
    table["group"] = [f"session-{n // 3}" for n in order]
    table["label"] = np.where(rng.random(count) < 0.4, "safe", "harmful")
    table["duration_s"] = rng.uniform(0.5, 8, count).round(2)
    return table


def answers(clips: pd.DataFrame, said: pd.Series, day: int) -> pd.DataFrame:
    """Return `tables.REVIEWS` with one answer to each clip."""
    told = {"annotator": "ann", "seconds": 4.5, "shown": "blind", "reviewed_utc": f"2026-01-{day:02}T10:00:00Z"}
    return pd.DataFrame(
        {**dict.fromkeys(tables.REVIEWS.columns, ""), **told, "clip_id": clips["clip_id"], "answer": said}
    )


def other(labels: pd.Series) -> pd.Series:
    """Return the other class of each."""
    return labels.map({"safe": "harmful", "harmful": "safe"})


def versions(count: int) -> tuple[dict[str, tuple[pd.DataFrame, pd.DataFrame]], int]:
    """Return clips and answers before and after, and how many clips have another label, are new or are gone."""
    rng = np.random.default_rng(0)
    before = original(count, rng)
    shares = (HEARD, CORRECTED, ADDED, REMOVED, REGROUPED, ANSWERED)
    chosen = np.split(rng.permutation(count), np.cumsum([round(count * share) for share in shares]))
    heard, corrected, copied, gone, moved, answered, _ = map(np.sort, chosen)
    reviews = answers(before.iloc[answered], before["label"].iloc[answered], day=1)
    after = before.copy()
    after.loc[corrected, "label"] = other(after.loc[corrected, "label"])
    after.loc[moved, "group"] = [f"joined-{number % 10}" for number in moved]
    fresh = before.iloc[copied].assign(clip_id=[f"f{number:015x}" for number in copied], file="new.wav")
    later = answers(before.iloc[heard], other(before["label"].iloc[heard]), day=2)
    sides = {
        "before": (before, reviews),
        "after": (pd.concat([after.drop(index=gone), fresh], ignore_index=True), pd.concat([reviews, later])),
    }
    return sides, sum(map(len, (heard, corrected, copied, gone)))


def write(clips: pd.DataFrame, reviews: pd.DataFrame, folder: Path) -> None:
    """Write every table of a version, as the pipeline makes them of clips and answers, or alike."""
    rng = np.random.default_rng(len(reviews))
    said = clips["clip_id"].map(reviews.set_index("clip_id")["answer"])
    heard = said.notna()
    today = clips[["clip_id"]].assign(label=said.where(heard, clips["label"]))
    labels = today.assign(
        origin=np.where(heard, "review", "given"), confidence=np.where(heard, 1, np.nan), answers=heard.astype(int)
    )
    tested = clips["group"].str[-1].isin(["0", "5"])
    folds = clips[["clip_id"]].assign(fold=np.where(tested, -1, clips["group"].str[-2:-1].map(ord) % 5))
    left_out = rng.random(len(clips)) < LEFT_OUT
    train = today.assign(fold=folds["fold"], times=1 - left_out, weight=1.0, why=np.where(left_out, "flagged", "kept"))
    doubted = today[rng.random(len(clips)) < FLAGGED].assign(reason="label", score=0.25, suggested="safe")
    gone = [f"gone-{number}.wav" for number in rng.integers(0, len(clips), round(len(clips) * REJECTED))]
    rejects = pd.DataFrame({"file": sorted(set(gone)), "start_s": np.nan, "label": "safe", "reason": "silent"})
    groups = clips[["clip_id", "group"]].assign(why="given")
    found = [(tables.CLIPS, clips), (tables.REVIEWS, reviews), (tables.LABELS, labels), (tables.GROUPS, groups)]
    found += [(tables.FOLDS, folds), (tables.TRAIN, train[~tested]), (tables.FLAGS, doubted)]
    found += [(tables.REJECTS, rejects.assign(detail="-")), (tables.SCORES, predicted(today, 2.0, rng))]
    for table, rows in found:
        put(rows, folder / "data" / table.name, table)
    for model, skill in MODELS.items():
        rows = predicted(today[tested], skill[folder.name], rng)
        put(rows, folder / f"data/predictions/{model}.csv", tables.PREDICTIONS)
    metrics = {model: {"mcc": {"value": skill[folder.name]}} for model, skill in MODELS.items()}
    files.write_json(metrics, folder / "reports/metrics.json")
    files.write_text(f"split: {{salt: {folder.name}}}\n", folder / "params.yaml")


def put(rows: pd.DataFrame, path: Path, table: tables.Table) -> None:
    """Write a table as `tables.write` does, which takes minutes for so many rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = pa.Table.from_pandas(rows[list(table.columns)].sort_values(list(table.key)), preserve_index=False)
    pyarrow.csv.write_csv(ordered, path, pyarrow.csv.WriteOptions(quoting_style="none", quoting_header="none"))


def predicted(today: pd.DataFrame, skill: float, rng: np.random.Generator) -> pd.DataFrame:
    """Return a probability of each class for each clip, of a model that tells them apart as well as `skill` says."""
    truth = np.where(today["label"] == "harmful", skill, -skill)
    score = (1 / (1 + np.exp(-(truth + rng.normal(size=len(today)))))).round(6)
    wide = pd.DataFrame({"clip_id": today["clip_id"], "harmful": score, "safe": (1 - score).round(6)})
    return wide.melt("clip_id", var_name="label", value_name="probability")


def measure(command: list[str], folder: Path) -> dict[str, files.Json]:
    """Return seconds and peak memory of a command, and how many changes it finds; `lacks` when a module is missing."""
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
        "changes": found_changes(said.strip().splitlines()[0]),
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
        sides, changed = versions(clips)
        git(folder, "init", "--quiet", "--initial-branch", "main", "repository")
        for when, (table, reviews) in sides.items():  # one repository, each version a commit
            write(table, reviews, folder / when)
            shutil.copytree(folder / when, folder / "repository", dirs_exist_ok=True)
            git(folder / "repository", "add", "--all")
            git(folder / "repository", "commit", "--quiet", "--message", when)
        command = [sys.executable, "-c", "from curation.cli import main; main()", "diff", "HEAD~1", "HEAD"]
        found = {"earmark diff": measure(command, folder / "repository")}
        found |= {peer: measure([peers, "-c", script], folder) for peer, script in PEERS.items()}
    click.echo(f"{clips} clips, {changed} changed")
    for who, figures in found.items():
        figures = {key: f"{value:.1f}" if isinstance(value, float) else value for key, value in figures.items()}
        click.echo(f"{who:>14} " + ", ".join(f"{key} {value}" for key, value in figures.items()))
    for who, figures in found.items():
        assert figures.get("changes", changed) == changed, f"{who} does not find the {changed} changes"
    if out:
        files.write_json({"clips": clips, "changed": changed, "found": found}, out)
    ours = found["earmark diff"]
    missed = [
        f"{name} {ours.get(name)}, not {most:g}" for name, most in BOUNDS.items() if ours.get(name, most + 1) > most
    ]
    if missed:
        raise SystemExit(f"earmark diff takes more than it may: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
