"""Where the sound of a clip lies, and reading it."""

from pathlib import Path

import click
import soundfile

from curation.audio import Samples

SUFFIX = ".wav"  # not FLAC: a third of the size, but encoding it would take longer than all else that ingest does


def clip_path(clip_id: str, audio: Path) -> Path:
    """Return the file of a clip in the folder of clips."""
    return audio / f"{clip_id}{SUFFIX}"


def read_clip(clip_id: str, audio: Path, *, frames: int) -> Samples:
    """Return the first `frames` samples of a clip, shape (frames,): the recorded part, without its padding.

    Raises:
        click.ClickException: the file is gone or damaged.
    """
    path = clip_path(clip_id, audio)
    try:
        samples: Samples = soundfile.read(path, frames=frames, dtype="float32")[0]
    except soundfile.LibsndfileError as error:
        raise click.ClickException(f"{path}: {error.error_string} `dvc repro ingest` cuts the clips again.") from error
    return samples
