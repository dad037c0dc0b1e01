from pathlib import Path

import click
import numpy as np
import pytest
import soundfile

from curation.clips import read_clip


def test_the_recorded_part_is_read_and_the_padding_is_not(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "aa.wav", np.array([0.5, -0.25, 0.125, 0, 0]), 16000, subtype="PCM_16")
    sound = read_clip("aa", tmp_path, frames=3)
    assert (sound.dtype, sound.tolist()) == (np.float32, [0.5, -0.25, 0.125])


@pytest.mark.parametrize("content", [None, b"", b"fLaC"])
def test_a_missing_or_damaged_clip_is_named_with_the_command_that_mends_it(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "aa.wav").write_bytes(content)
    with pytest.raises(click.ClickException, match=r"aa\.wav: .*`dvc repro ingest`"):
        read_clip("aa", tmp_path, frames=3)
