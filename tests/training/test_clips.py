import pickle
from pathlib import Path

import click
import numpy as np
import pytest
import soundfile
import torch

from curation import params
from training import clips

DATA = params.Data(classes=("a", "b"), clip_s=0.5, rate_hz=8000)


def write(folder: Path, samples: list[int], rate_hz: int = 8000) -> None:
    soundfile.write(folder / "one.wav", np.array(samples, dtype=np.int16), rate_hz, subtype="PCM_16")


def test_samples_come_as_written_with_the_length_of_the_sound(tmp_path: Path) -> None:
    write(tmp_path, [5, 0, -7] + 3997 * [0])
    samples, lengths = clips.read(tmp_path, ["one"], DATA)
    assert samples[0, :4].tolist() == [5, 0, -7, 0]
    assert samples.shape == (1, 4000)
    assert lengths.tolist() == [3]


def test_digital_silence_has_length_one() -> None:
    assert clips.sound(np.zeros(9, dtype=np.int16)) == 1


def test_a_missing_clip_is_named(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=r"one.wav cannot be read .*`dvc repro ingest`"):
        clips.read(tmp_path, ["one"], DATA)


def test_a_clip_of_another_rate_is_named(tmp_path: Path) -> None:
    write(tmp_path, 4000 * [1], rate_hz=16000)
    with pytest.raises(click.ClickException, match=r"one.wav has 16000 Hz and shape \(4000,\); .* wants 8000 Hz"):
        clips.read(tmp_path, ["one"], DATA)


def test_a_worker_is_sent_the_name_of_a_file_and_not_what_is_in_it(tmp_path: Path) -> None:
    np.arange(60_000, dtype=np.float16).tofile(tmp_path / "kept.f16")
    kept = torch.from_file(str(tmp_path / "kept.f16"), shared=True, size=60_000, dtype=torch.float16).view(3, 4, 5000)
    rest = torch.tensor([1, 2, 3]), torch.eye(3), torch.rand(3)
    for x, largest in ((kept, 5000), (kept.clone(), 1_000_000)):
        sent = pickle.dumps(clips.Clips(x, *rest))
        assert len(sent) < largest
        found = pickle.loads(sent)  # noqa: S301 -- our own
        assert all(torch.equal(*pair) for pair in zip(vars(found).values(), (x, *rest), strict=True))
        found.x.zero_()
    assert kept.abs().sum() > 0  # what a worker does to it does not reach the file
