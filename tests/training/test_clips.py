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


def test_any_version_of_a_clip_is_as_likely_and_none_is_of_another_clip() -> None:
    x = torch.tensor([10, 20, 30, 11, 21, 31, 12, 22, 32])  # clips 1 to 3 in versions 0 to 2
    held = clips.Clips(x, torch.ones(9), torch.zeros(3, 2), torch.ones(3))
    rows = torch.tensor([0, 2]).repeat(3000)
    heard = x[held.drawn(rows, np.random.default_rng(0))]
    assert torch.equal(heard // 10, rows + 1)
    assert torch.bincount(heard % 10).tolist() == pytest.approx([2000] * 3, rel=0.1)


def test_without_other_versions_clips_are_drawn_as_they_are_and_no_draw_is_spent() -> None:
    held = clips.Clips(torch.rand(3, 5), torch.ones(3), torch.zeros(3, 2), torch.ones(3))
    rng = np.random.default_rng(0)
    assert held.drawn(torch.tensor([2, 0, 2]), rng).tolist() == [2, 0, 2]
    assert rng.random() == np.random.default_rng(0).random()


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
