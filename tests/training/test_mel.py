import click
import librosa
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from training import mel

P = mel.Params(window_s=0.064, hop_s=0.032, bands=64, min_hz=50, max_hz=8000)
RATE_HZ = 16000


def noise(n: int, clips: int = 2) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(-9000, 9000, (clips, n)).astype(np.int16))


def test_the_log_mel_spectrogram_is_that_of_librosa() -> None:
    samples = noise(16000)
    power = librosa.feature.melspectrogram(
        y=samples.numpy() / np.float32(32768),
        sr=RATE_HZ,
        n_fft=1024,
        hop_length=512,
        n_mels=64,
        fmin=50,
        fmax=8000,
        pad_mode="constant",
    )
    decibels = librosa.power_to_db(power, ref=1.0, amin=1e-8, top_db=None)
    np.testing.assert_allclose(mel.log_mel(samples, P, rate_hz=RATE_HZ).numpy(), decibels, atol=1e-2)


def test_a_frequency_that_the_clips_cannot_hold_is_refused() -> None:
    with pytest.raises(click.ClickException, match=r"`mel.max_hz` in params.yaml is 8000, .* lower it to 4000"):
        mel.log_mel(noise(4000), P, rate_hz=8000)


def test_a_range_upside_down_is_refused() -> None:
    with pytest.raises(ValidationError, match="`min_hz` must be below `max_hz`"):
        mel.Params(**P.model_dump() | {"min_hz": 9000})


def test_silence_is_at_the_floor() -> None:
    silence = mel.log_mel(torch.zeros(1, 4096, dtype=torch.int16), P, rate_hz=RATE_HZ)
    assert torch.equal(silence, torch.full((1, 64, 9), mel.FLOOR_DB))


@pytest.mark.parametrize("n", [1, 512, 513, 5000])
def test_the_frames_of_the_sound_are_the_same_whatever_padding_follows(n: int) -> None:
    samples = noise(n)
    kept = int(mel.frames(torch.tensor(n), P, rate_hz=RATE_HZ))
    short, long = (
        mel.log_mel(torch.nn.functional.pad(samples, (0, padding)), P, rate_hz=RATE_HZ) for padding in (1000, 9000)
    )
    torch.testing.assert_close(short[:, :, :kept], long[:, :, :kept], rtol=0, atol=1e-3)  # dB; sums of another order


def test_a_band_pass_lets_its_mel_frequency_through_most() -> None:
    filters = mel.band_passes(16, 512, P, rate_hz=RATE_HZ)
    loudest_hz = torch.fft.rfft(filters, n=16000).abs().argmax(dim=1).float()
    centres_hz = torch.from_numpy(librosa.mel_frequencies(18, fmin=50, fmax=8000)[1:-1]).float()
    torch.testing.assert_close(loudest_hz, centres_hz, atol=15, rtol=0)
    torch.testing.assert_close(filters.norm(dim=1), torch.ones(16))
