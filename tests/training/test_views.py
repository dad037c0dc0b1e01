import bursts
import librosa
import numpy as np
import pytest
import rows
import torch
import yaml

from training import views

LENGTH = round(bursts.CLIP_S * bursts.RATE_HZ)


@pytest.fixture(autouse=True)
def params(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = yaml.safe_load(rows.PARAMS.read_text())
    document["lite_cnn"]["augment"] |= {"crop_s": 0.8, "speed": 0.0, "mask_bands": 12, "mask_s": 0.3}
    document["wav2vec2"]["augment"] = {"crop_s": 0.5, "speed": 0.1, "snr_db": [0, 0]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.chdir(tmp_path)


def clips(start_s: float | None) -> tuple[torch.Tensor, torch.Tensor]:
    samples = torch.from_numpy(bursts.clip(start_s, np.random.default_rng(0)))
    return samples.expand(views.VIEWS, -1), torch.full((views.VIEWS,), LENGTH)


def test_views_of_lite_cnn_are_crops_with_hidden_stripes_each_another() -> None:
    found = views.spectrograms(*clips(0.5), bursts.MEL, bursts.RATE_HZ)
    assert found.shape == (views.VIEWS, bursts.MEL.bands, round(0.8 / bursts.MEL.hop_s))
    np.testing.assert_array_equal(found, views.spectrograms(*clips(0.5), bursts.MEL, bursts.RATE_HZ))
    levels = [np.unique(view, return_counts=True) for view in found]
    hidden = [float(counts.max() / view.size) for view, (_, counts) in zip(found, levels, strict=True)]
    assert max(hidden) > 0.1  # one value over a stripe
    assert len(set(hidden)) == views.VIEWS


def test_views_of_wav2vec2_have_the_noise_that_params_ask_for() -> None:
    samples = torch.from_numpy((3000 * np.sin(2 * np.pi * 500 * np.arange(LENGTH) / bursts.RATE_HZ)).astype(np.int16))
    found = views.waveforms(samples[None], torch.tensor([LENGTH]), bursts.RATE_HZ)
    assert found.shape == (1, round(0.5 * bursts.RATE_HZ))
    power = np.abs(np.fft.rfft(found[0])) ** 2
    tone = power[: round(600 * 0.5)].sum() / power.sum()  # 450 to 550 Hz after the change of speed
    assert 0.45 < tone < 0.65  # as loud as the noise, at 0 dB


def test_what_is_resynthesised_has_the_spectrogram_it_was_made_from() -> None:
    view = views.spectrograms(*clips(0.5), bursts.MEL, bursts.RATE_HZ)[0]
    sound = views.resynthesised(view, bursts.MEL, rate_hz=bursts.RATE_HZ)
    assert len(sound) == round(0.8 * bursts.RATE_HZ)
    size, hop = round(bursts.MEL.window_s * bursts.RATE_HZ), round(bursts.MEL.hop_s * bursts.RATE_HZ)
    power = librosa.feature.melspectrogram(
        y=sound, sr=bursts.RATE_HZ, n_fft=size, hop_length=hop, n_mels=bursts.MEL.bands, fmin=50, fmax=4000
    )
    again = librosa.power_to_db(power)[:, : view.shape[1]]
    assert np.corrcoef(again.ravel(), view.ravel())[0, 1] > 0.85


def test_silence_can_be_heard_and_seen() -> None:
    view = np.full((bursts.MEL.bands, 40), -80, np.float32)
    assert np.isfinite(views.resynthesised(view, bursts.MEL, rate_hz=bursts.RATE_HZ)).all()
    assert views.picture(view, bursts.MEL, 0.8, rate_hz=bursts.RATE_HZ).startswith("data:image/png;base64,")
