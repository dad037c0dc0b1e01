import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from training import augment, losses


def ramp(lengths: list[int], n: int) -> Tensor:
    """Return 0, 1, 2 ... as the sound of each clip, and not-a-number as its padding."""
    time = torch.arange(n).float()
    return torch.stack([torch.where(time < length, time, torch.nan) for length in lengths])


def test_repeat_fills_the_time_with_sound() -> None:
    x = augment.repeat(ramp([3, 5], 6), torch.tensor([3, 5]), 7)
    assert x.tolist() == [[0, 1, 2, 0, 1, 2, 0], [0, 1, 2, 3, 4, 0, 1]]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 20), st.integers(0, 99))
def test_a_crop_goes_round_the_sound_from_any_start(lengths: list[int], n: int, seed: int) -> None:
    x = augment.crop(ramp(lengths, 9), torch.tensor(lengths), n, speed=0, rng=np.random.default_rng(seed))
    for row, length in zip(x, lengths, strict=True):
        assert row.tolist() == [(row[0].item() + step) % length for step in range(n)]


def test_crops_start_everywhere() -> None:
    rng = np.random.default_rng(0)
    x = augment.crop(ramp([4] * 400, 4), torch.full((400,), 4), 1, speed=0, rng=rng)
    assert x.flatten().int().bincount().min() > 70


@given(st.integers(1, 9), st.integers(0, 99))
def test_another_speed_reads_no_padding(length: int, seed: int) -> None:
    x = augment.crop(ramp([length], 9), torch.tensor([length]), 30, speed=0.5, rng=np.random.default_rng(seed))
    assert x.min() >= 0
    assert x.max() <= length - 1


def test_speed_moves_a_tone_by_its_factor() -> None:
    tone = torch.sin(2 * torch.pi * 0.05 * torch.arange(4000))[None].expand(50, -1)
    x = augment.crop(tone, torch.full((50,), 4000), 2000, speed=0.2, rng=np.random.default_rng(0))
    pitch = torch.fft.rfft(x).abs().argmax(dim=1) / 2000 / 0.05
    assert (pitch.min().item(), pitch.max().item()) == pytest.approx((0.8, 1.2), abs=0.03)


def test_noise_comes_at_the_ratio_asked() -> None:
    sound = torch.sin(torch.arange(20000).float()) * torch.tensor([[0.1], [5.0]])
    noise = augment.add_noise(sound, snr_db=(6, 6), rng=np.random.default_rng(0)) - sound
    ratio_db = 10 * torch.log10(sound.square().mean(dim=1) / noise.square().mean(dim=1))
    torch.testing.assert_close(ratio_db, torch.tensor([6.0, 6.0]), atol=0.1, rtol=0)


def test_level_and_tilt_are_drawn_up_to_their_bounds_either_way() -> None:
    x = -40 + torch.zeros(500, 5, 3)
    change = augment.level(x, gain_db=6, tilt_db=3, rng=np.random.default_rng(0)) - x
    gain, tilt = change[:, 2, 0], change[:, 4, 0] - change[:, 2, 0]
    for drawn, largest in ((gain, 6), (tilt, 3)):
        assert (drawn.min().item(), drawn.max().item()) == pytest.approx((-largest, largest), rel=0.05)
    line = gain[:, None] + tilt[:, None] * torch.tensor([-1, -0.5, 0, 0.5, 1])
    torch.testing.assert_close(change, line[:, :, None].expand_as(x), atol=1e-4, rtol=0)


def test_the_power_of_noise_comes_at_the_ratio_asked_and_alike_in_all_bands() -> None:
    x = torch.tensor([-20.0, -50.0])[:, None, None] + torch.zeros(2, 8, 4000)
    x[:, 4:] -= 30  # little sound in the upper bands
    noise = 10 ** (augment.add_noise_power(x, snr_db=(6, 6), rng=np.random.default_rng(0)) / 10) - 10 ** (x / 10)
    ratio_db = 10 * ((10 ** (x / 10)).mean(dim=(1, 2)) / noise.mean(dim=(1, 2))).log10()
    torch.testing.assert_close(ratio_db, torch.tensor([6.0, 6.0]), atol=0.1, rtol=0)
    torch.testing.assert_close(noise.mean(dim=2) / noise.mean(dim=(1, 2))[:, None], torch.ones(2, 8), atol=0.1, rtol=0)


def test_spec_augment_hides_one_run_of_bands_and_one_of_frames() -> None:
    x = torch.arange(8 * 20).float().view(1, 8, 20).expand(200, -1, -1)
    found = augment.spec_augment(x, bands=3, frames=5, rng=np.random.default_rng(0))
    hidden = found != x
    assert torch.equal(found[hidden], x.mean(dim=(1, 2))[:, None, None].expand_as(x)[hidden])
    bands, frames = hidden.all(dim=2), hidden.all(dim=1)
    assert torch.equal(hidden, bands[:, :, None] | frames[:, None, :])
    for run, longest in ((bands, 3), (frames, 5)):
        assert run.sum(dim=1).unique().tolist() == list(range(longest + 1))
        edge = torch.zeros(200, 1, dtype=torch.int32)
        assert run.int().diff(prepend=edge, append=edge).abs().sum(dim=1).max() == 2
        assert run.any(dim=0).all()  # wherever it may


def test_mixup_mixes_clips_and_targets_in_the_same_share() -> None:
    column = torch.arange(8) % 2
    x, onehot = column.float()[:, None], torch.eye(2)[column]
    mixed, targets, weights = augment.mixup(x, onehot, torch.ones(8), alpha=1, rng=np.random.default_rng(0))
    torch.testing.assert_close(mixed[:, 0], targets[:, 1])
    assert ((mixed > 0) & (mixed < 1)).sum() >= 2
    torch.testing.assert_close(weights, torch.ones(8))


@given(st.lists(st.floats(0, 4, width=32), min_size=2, max_size=6), st.integers(0, 99))
def test_the_loss_of_mixed_labels_is_the_mixture_of_the_weighted_losses(weights: list[float], seed: int) -> None:
    n = len(weights)
    logits = torch.tensor([[0.7, -0.2]]).expand(n, -1)  # the same for all, so that only labels and weights are mixed
    onehot = torch.eye(2)[torch.arange(n) % 2]
    x = torch.arange(n).float()[:, None]
    position, targets, mixed = augment.mixup(
        x, onehot, torch.tensor(weights), alpha=0.5, rng=np.random.default_rng(seed)
    )
    rng = np.random.default_rng(seed)
    share, other = torch.from_numpy(rng.beta(0.5, 0.5, n)).float(), torch.from_numpy(rng.permutation(n))
    torch.testing.assert_close(position[:, 0], share * torch.arange(n) + (1 - share) * other)
    one = torch.ones(1)
    each = torch.stack(
        [w * losses.cross_entropy(logits[:1], t[None], one) for w, t in zip(weights, onehot, strict=True)]
    )
    loss = losses.cross_entropy(logits, targets, mixed)
    torch.testing.assert_close(loss, (share * each + (1 - share) * each[other]).mean(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(targets.sum(dim=1)[mixed > 1e-6], torch.ones(int((mixed > 1e-6).sum())))


def test_without_alpha_nothing_is_mixed() -> None:
    given_ = torch.rand(3, 4), torch.eye(3), torch.rand(3)
    found = augment.mixup(*given_, alpha=0, rng=np.random.default_rng(0))
    assert all(torch.equal(*pair) for pair in zip(given_, found, strict=True))
