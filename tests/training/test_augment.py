import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from training import augment, losses, mel


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


def strongest(x: Tensor) -> Tensor:
    """Return the frequency of a tone, in cycles a sample, to a hundredth of a bin."""
    return torch.fft.rfft(x * torch.hann_window(x.shape[1]), n=32 * x.shape[1]).abs().argmax(dim=1) / x.shape[1] / 32


def swelling(n: int) -> Tensor:
    """Return a tone of 0.05 cycles a sample that swells every 10,000 samples."""
    time = torch.arange(n)
    return torch.sin(2 * torch.pi * 0.05 * time) * (1 + torch.sin(2 * torch.pi * time / 10_000))


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_a_clip_at_another_speed_is_as_of_a_tape(speed: float) -> None:
    samples = torch.zeros(2, 8000, dtype=torch.int16)
    samples[0, :4000] = (9000 * torch.sin(2 * torch.pi * 400 * torch.arange(4000) / 8000)).short()
    samples[1] = 7000
    played, lengths = augment.at_speed(samples, torch.tensor([4000, 8000]), speed)
    assert lengths.tolist() == [round(4000 / speed), min(round(8000 / speed), 8000)]
    tone = played[0, : lengths[0]].numpy()
    assert np.fft.rfftfreq(len(tone), 1 / 8000)[np.abs(np.fft.rfft(tone)).argmax()] == pytest.approx(
        400 * speed, rel=0.01
    )
    assert np.abs(tone[100:-100]).max() == pytest.approx(9000, rel=0.02)
    assert not played[0, lengths[0] :].any()
    assert played.dtype == samples.dtype


@pytest.mark.parametrize(("tempo", "pitch"), [(0.0, 0.2), (0.2, 0.0), (0.2, 0.2)])
def test_tempo_and_pitch_are_changed_apart_each_up_to_its_bounds(tempo: float, pitch: float) -> None:
    n = 60_000
    x = augment.stretch(swelling(n + n // 4).expand(20, -1), n, tempo=tempo, pitch=pitch, rng=np.random.default_rng(1))
    assert x.shape == (20, n)
    swell = torch.nn.functional.avg_pool1d(x.abs(), 100)
    drawn = {"pitch": strongest(x) / 0.05, "tempo": strongest(swell.diff()) * 10_000 / 100}
    for name, most in (("pitch", pitch), ("tempo", tempo)):
        assert (drawn[name].min().item(), drawn[name].max().item()) == pytest.approx((1 - most, 1 + most), abs=0.04)
    assert abs(torch.corrcoef(torch.stack([drawn["pitch"], drawn["tempo"]]))[0, 1]) < 0.5 or not (tempo and pitch)


def test_a_room_dies_by_60_db_in_the_time_asked_and_no_clip_is_in_that_of_another() -> None:
    rate_hz = 8000
    clap = torch.zeros(3, 2 * rate_hz)
    clap[:, 0] = 1
    x = augment.reverberate(clap, decay_s=(0.4, 1.2), rate_hz=rate_hz, rng=np.random.default_rng(0))
    left_db = 10 * x[:, 1:].square().flip(1).cumsum(dim=1).flip(1).log10()  # Schroeder 1965: energy still to come
    falls = [left_db[:, round(at * rate_hz)] for at in (0.02, 0.22)]
    decay_s = 60 * 0.2 / (falls[0] - falls[1])
    drawn = np.random.default_rng(0).uniform(0.4, 1.2, 3)
    np.testing.assert_allclose(decay_s, drawn, rtol=0.1)
    torch.testing.assert_close(x.square().mean(dim=1), clap.square().mean(dim=1))
    same = augment.reverberate(clap, decay_s=(0.4, 0.4), rate_hz=rate_hz, rng=np.random.default_rng(0))
    assert not torch.equal(same[0], same[1])


@pytest.mark.parametrize("kbps", [{"mp3": (32, 32)}, {"opus": (12, 12)}], ids=str)
def test_a_codec_changes_a_sound_less_the_more_bits_it_has_whatever_its_level(kbps: dict[str, tuple[int, int]]) -> None:
    time_s = torch.arange(16_000) / 16_000
    harmonics = sum(torch.sin(2 * torch.pi * 220 * n * time_s) / n for n in range(1, 30))
    sound = harmonics * torch.tensor([[0.01], [3.0]])
    lost = []
    for rates in (kbps, {codec: (64, 64) for codec in kbps}):
        x = augment.coded(sound, kbps=rates, rate_hz=16_000, rng=np.random.default_rng(0))
        lost.append((x - sound).std(dim=1) / sound.std(dim=1))
    assert (lost[0] < 0.5).all()
    assert (lost[0] > 1.2 * lost[1]).all()
    assert (lost[1] > 1e-4).all()
    torch.testing.assert_close(lost[0][0], lost[0][1], rtol=0.05, atol=0)


def test_of_two_codecs_and_of_bitrates_each_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, float]] = []
    monkeypatch.setattr(
        "training.degrade.coded", lambda sound, codec, *, kbps, rate_hz: seen.append((codec, kbps)) or sound
    )
    kbps = {"mp3": (32, 33), "opus": (6, 7)}
    augment.coded(torch.ones(60, 8), kbps=kbps, rate_hz=8000, rng=np.random.default_rng(0))
    assert {*seen} == {("mp3", 32), ("mp3", 33), ("opus", 6), ("opus", 7)}


def test_the_gain_of_a_waveform_is_drawn_up_to_its_bound_either_way() -> None:
    drawn_db = 20 * augment.gain(torch.ones(500, 2), gain_db=6, rng=np.random.default_rng(0)).log10()
    assert torch.equal(drawn_db[:, 0], drawn_db[:, 1])
    assert (drawn_db.min().item(), drawn_db.max().item()) == pytest.approx((-6, 6), rel=0.05)


def test_noise_comes_at_the_ratio_asked() -> None:
    sound = torch.sin(torch.arange(20000).float()) * torch.tensor([[0.1], [5.0]])
    noise = augment.add_noise(sound, snr_db=(6, 6), rng=np.random.default_rng(0)) - sound
    ratio_db = 10 * torch.log10(sound.square().mean(dim=1) / noise.square().mean(dim=1))
    torch.testing.assert_close(ratio_db, torch.tensor([6.0, 6.0]), atol=0.1, rtol=0)


def test_shifted_bands_hold_the_tone_at_its_frequency_times_the_factor() -> None:
    p = mel.Params(window_s=0.064, hop_s=0.05, bands=128, min_hz=0, max_hz=8000)
    centres_hz, factor = mel.centres_hz(p), 1.2

    class Highest(np.random.Generator):
        def uniform(self, low: float, high: float, size: int) -> np.ndarray:
            return np.full(size, high)

    tones_hz = torch.tensor([300.0, 900.0, 2500.0])
    time_s = torch.arange(16_000) / 16_000
    x, expected = (
        mel.log_mel((9000 * torch.sin(2 * torch.pi * hz[:, None] * time_s)).short(), p, rate_hz=16_000)
        for hz in (tones_hz, tones_hz * factor)
    )
    rng = Highest(np.random.PCG64())
    found = augment.shift_bands(x, centres_hz, pitch=factor - 1, rng=rng)
    assert found.shape == x.shape
    peaks = [spectra[:, :, 10].argmax(dim=1) for spectra in (x, found, expected)]
    assert (peaks[1] - peaks[2]).abs().max() <= 1
    assert (peaks[1] - peaks[0]).min() >= 2


def test_shifted_bands_go_up_and_down_and_end_with_the_outermost() -> None:
    p = mel.Params(window_s=0.064, hop_s=0.05, bands=64, min_hz=50, max_hz=8000)
    x = torch.arange(64.0)[None, :, None].expand(400, -1, 2)
    found = augment.shift_bands(x, mel.centres_hz(p), pitch=0.2, rng=np.random.default_rng(0))
    assert (found.min(), found.max()) == (0, 63)
    assert found.diff(dim=1).min() >= 0
    higher = (found[:, 32, 0] < 32).float().mean()
    assert 0.4 < higher < 0.6


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
