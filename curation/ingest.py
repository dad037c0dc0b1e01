"""Cut recordings into clips of one rate and length, measure them, and list what cannot be used and why."""

import math
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, TypeAlias

import click
import joblib
import pandas as pd
from pydantic import Field
from tqdm import tqdm

from curation import audio, files, measure, params, pool, tables
from curation.audio import Samples, UnusableError
from curation.clips import SUFFIX, clip_path
from curation.folder import locate, unlisted
from curation.recording import Recording, listen

Row: TypeAlias = dict[str, Any]

WHOLE = math.nan  # `start_s` of a recording rejected as a whole


class Params(params.Section):
    """Section `ingest` of params.yaml."""

    windows: Literal["first", "all"]  # first: one clip a recording; all: as many as are in it
    min_duration_s: float = Field(gt=0)  # shorter recordings, and shorter last windows, are rejected
    max_duration_s: float = Field(gt=0, le=36_000)  # longer recordings are rejected
    silence_dbfs: float = Field(ge=-120, le=0)  # frames below it are silent; a clip of nothing else is rejected
    timeout_s: float = Field(gt=0)  # a recording that takes longer is given up and rejected


def ingest(
    listed: pd.DataFrame, raw: Path, clips: Path, p: Params, *, data: params.Data, workers: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the clips of the recordings in `raw` to `clips`; return `tables.CLIPS` and `tables.REJECTS`.

    Every row of `listed` (`tables.RAW`) is in one of the two. In the end `clips` holds the files of the first only.
    """
    made: list[Row] = []
    rejects = [_reject(file, "unlisted", "The table does not list it.") for file in unlisted(listed["file"], raw)]
    tasks = [(file, raw, clips, p, data) for file in listed["file"]]
    with closing(pool.each(cut, tasks, workers=min(workers, len(tasks)), timeout_s=p.timeout_s)) as outcomes:
        shown = tqdm(outcomes, "ingest", len(tasks), unit="file", disable=None)
        for file, outcome in zip(listed["file"], shown, strict=True):
            if isinstance(outcome, pool.Lost):
                rejects.append(_reject(file, outcome.reason, outcome.detail))
            else:
                made += outcome[0]
                rejects += outcome[1]
    kept, copies = settle(_given(made, tables.CLIPS, listed))
    _sweep(clips, set(kept["clip_id"]))
    return kept, pd.concat([_given(rejects, tables.REJECTS, listed), copies], ignore_index=True)


def cut(file: str, raw: Path, clips: Path, p: Params, data: params.Data) -> tuple[list[Row], list[Row]]:
    """Write the clips of one recording; return their rows and those of its rejects, without what the table gives."""
    count = 1 if p.windows == "first" else None
    try:
        recording = listen(
            locate(file, raw), clip_s=data.clip_s, to_hz=data.rate_hz, count=count, max_duration_s=p.max_duration_s
        )
    except UnusableError as error:
        return [], [_reject(file, error.reason, error.detail)]
    made, rejects = [], []
    for window in recording.windows:
        try:
            levels = _levels(window.sound, recording, p, data)
        except UnusableError as error:
            rejects.append(_reject(file, error.reason, error.detail, window.start_s))
            continue
        clip_id = recording.clip_id(window.start_s)
        wav = audio.to_wav(window.sound, rate_hz=data.rate_hz, frames=round(data.clip_s * data.rate_hz))
        with files.replacing(clip_path(clip_id, clips)) as temporary:
            temporary.write_bytes(wav)
        place = {"clip_id": clip_id, "file": file, "start_s": window.start_s, "clipped_share": window.clipped_share}
        made.append(place | _source(recording) | levels)
    return made, rejects


def _source(recording: Recording) -> Row:
    header = recording.header
    return {
        "source_s": recording.frames / header.rate_hz,
        "header_s": header.length_s,
        "rate_hz": header.rate_hz,
        "channels": header.channels,
        "codec": header.codec,
        "dead_channels": recording.dead_channels,
        "inverted": recording.inverted,
    }


def _levels(sound: Samples, recording: Recording, p: Params, data: params.Data) -> Row:
    rate_hz, duration_s = data.rate_hz, len(sound) / data.rate_hz
    if duration_s < p.min_duration_s:
        raise UnusableError("too_short", f"It lasts {duration_s:.6g} s; {p.min_duration_s:g} are asked for.")
    silence = measure.silence(sound, rate_hz, below_dbfs=p.silence_dbfs)
    if silence.share == 1:
        why = " Two of its channels cancel each other in the mix." if recording.inverted else ""
        raise UnusableError("silent", f"No 20 ms of it reach {p.silence_dbfs:g} dBFS (`ingest.silence_dbfs`).{why}")
    return {
        "duration_s": duration_s,
        "padded_s": data.clip_s - duration_s,
        "peak_dbfs": measure.peak_dbfs(sound),
        "rms_dbfs": measure.rms_dbfs(sound),
        "loudness_lufs": measure.loudness_lufs(sound, rate_hz),
        "dc_offset": measure.dc_offset(sound, rate_hz),
        "silent_share": silence.share,
        "leading_silence_s": silence.leading_s,
        "trailing_silence_s": silence.trailing_s,
        "snr_db": measure.snr_db(sound, rate_hz),
        "bandwidth_hz": measure.bandwidth_hz(sound, rate_hz),
    }


def settle(clips: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the clips without exact copies of a recording, and `tables.REJECTS` of the recordings left out.

    Of copies the first by name stays, a labelled one before the others; of copies with two labels none does.
    """
    recordings = clips.sort_values(["file", "start_s"]).drop_duplicates("file")
    copied = recordings[recordings.duplicated("clip_id", keep=False)]  # copies share their first clip's id
    rejects = [row for _, copies in copied.groupby("clip_id") for row in _without(copies)]
    refused = pd.DataFrame(rejects, columns=list(tables.REJECTS.columns))
    return clips[~clips["file"].isin(refused["file"])], refused


def _without(copies: pd.DataFrame) -> list[Row]:
    rows = sorted(zip(copies["label"] == "", copies["file"], copies["label"], strict=True))
    if len({label for _, _, label in rows if label}) > 1:
        said = ", ".join(f"{label or 'no label'!r} in {file}" for _, file, label in rows)
        detail = f"The same sound has several labels: {said}. Correct the table."
        return [_reject(file, "conflict", detail) | {"label": label} for _, file, label in rows]
    detail = f"The same sound as {rows[0][1]}, which stays."
    return [_reject(file, "duplicate", detail) | {"label": label} for _, file, label in rows[1:]]


def _reject(file: str, reason: str, detail: str, start_s: float = WHOLE) -> Row:
    return {"file": file, "start_s": start_s, "reason": reason, "detail": detail}


def _given(rows: list[Row], table: tables.Table, listed: pd.DataFrame) -> pd.DataFrame:
    """Return `rows` as `table`, with the label and the group that `listed` gives their file."""
    frame = pd.DataFrame(rows, columns=list(table.columns))
    frame = frame.drop(columns=["label", "group"], errors="ignore").merge(
        listed, "left", "file", validate="many_to_one"
    )
    frame["group"] = frame["group"].where(frame["group"] != "", frame["file"])
    return frame.fillna({"label": ""})[list(table.columns)]


def _sweep(clips: Path, keep: Collection[str]) -> None:
    """Remove what copies, conflicts, and earlier or interrupted runs left."""
    for path in clips.glob(f"*{SUFFIX}"):
        if path.stem not in keep:
            path.unlink()


def read_listed(table: Path, classes: Collection[str]) -> pd.DataFrame:
    """Return `tables.RAW` in the file `table`.

    Raises:
        click.ClickException: it is no such table, lists nothing, or has a label that is no class.
    """
    fill = "`earmark import` lists your recordings there, `earmark sample` makes some to try."
    if not table.exists():
        raise click.ClickException(f"{table} does not exist. {fill}")
    listed = tables.read(table, tables.RAW)
    if listed.empty:
        raise click.ClickException(f"{table} lists no recording. {fill}")
    tables.check_labels(listed["label"], classes, table)
    return listed


def _check_left(clips: pd.DataFrame, rejected: pd.DataFrame, rejects: Path) -> None:
    if clips.empty:
        reasons = ", ".join(f"{n} {reason}" for reason, n in rejected["reason"].value_counts().items())
        raise click.ClickException(f"Every recording was rejected ({reasons}). {rejects} says why, row by row.")


@click.command()
@click.option(
    "--raw", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="The recordings."
)
@click.option("--table", type=click.Path(path_type=Path), required=True, help="Their labels and groups.")
@click.option("--clips", type=click.Path(path_type=Path), required=True, help="Folder for the clips.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the table of the clips goes.")
@click.option("--rejects", type=click.Path(path_type=Path), required=True, help="Where what cannot be used is listed.")
@click.option("--workers", type=click.IntRange(min=1), default=joblib.cpu_count, help="Processes.  [default: all CPUs]")
def main(raw: Path, table: Path, clips: Path, out: Path, rejects: Path, workers: int) -> None:
    """Cut the recordings into clips, measure them, and list what cannot be used."""
    data = params.Data.load("data")
    listed = read_listed(table, data.classes)
    kept, rejected = ingest(listed, raw, clips, Params.load("ingest"), data=data, workers=workers)
    tables.write(rejected, rejects, tables.REJECTS)
    _check_left(kept, rejected, rejects)
    tables.write(kept, out, tables.CLIPS)
    click.echo(f"ingest: {len(kept)} clips, {len(rejected)} rejects")


if __name__ == "__main__":
    main()
