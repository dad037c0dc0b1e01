import base64
import io
import re
from pathlib import Path

import bursts
import librosa
import numpy as np
import pandas as pd
import pytest
import rows
import soundfile
import torch
import yaml

from training import mel, views

LENGTH = round(bursts.CLIP_S * bursts.RATE_HZ)


@pytest.fixture(autouse=True)
def params(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = yaml.safe_load(rows.PARAMS.read_text())
    document["data"] |= {"clip_s": bursts.CLIP_S, "rate_hz": bursts.RATE_HZ}
    document["mel"] = bursts.MEL.model_dump()
    document["lite_cnn"]["augment"] |= {"crop_s": 0.8, "speeds": [], "mask_bands": 12, "mask_s": 0.3}
    document["wav2vec2"]["augment"] |= {"crop_s": 0.5, "speed": 0.1, "snr_db": [0, 0]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.chdir(tmp_path)


def clip(start_s: float | None) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(bursts.clip(start_s, np.random.default_rng(0)))[None], torch.tensor([LENGTH])


def tone() -> tuple[torch.Tensor, torch.Tensor]:
    samples = 3000 * np.sin(2 * np.pi * 500 * np.arange(LENGTH) / bursts.RATE_HZ)
    return torch.from_numpy(samples.astype(np.int16))[None], torch.tensor([LENGTH])


def share_of_tone(samples: np.ndarray) -> float:
    """Return the share of the power that lies at 450 to 550 Hz."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / bursts.RATE_HZ)
    return float(power[(hz > 450) & (hz < 550)].sum() / power.sum())


def changed(model: str, **changes: object) -> None:
    document = yaml.safe_load(Path("params.yaml").read_text())
    document[model]["augment"] |= changes
    Path("params.yaml").write_text(yaml.safe_dump(document))


def test_views_of_lite_cnn_are_crops_with_hidden_stripes_each_another() -> None:
    found = views.spectrograms(*clip(0.5), bursts.MEL, bursts.RATE_HZ)
    assert [*found] == [*(f"view {n}" for n in (1, 2, 3, 4)), "mask_bands: 12 alone", "mask_s: 0.3 alone"]
    assert {view.shape for view in found.values()} == {(bursts.MEL.bands, round(0.8 / bursts.MEL.hop_s))}
    again = views.spectrograms(*clip(0.5), bursts.MEL, bursts.RATE_HZ)
    assert all(np.array_equal(view, again[name]) for name, view in found.items())
    levels = [np.unique(view, return_counts=True) for view in [*found.values()][: views.VIEWS]]
    hidden = [float(counts.max()) for _, counts in levels]
    assert max(hidden) > 0.1 * found["view 1"].size  # one value over a stripe
    assert len(set(hidden)) == views.VIEWS


def test_views_of_lite_cnn_are_at_the_speeds_that_params_ask_for() -> None:
    changed("lite_cnn", speeds=[2.0], mask_bands=0, mask_s=0.0)
    found = views.spectrograms(*tone(), bursts.MEL, bursts.RATE_HZ)
    bands = [int(view.mean(axis=1).argmax()) for view in found.values()]
    octave = {int(mel.centres_hz(bursts.MEL).sub(hz).abs().argmin()) for hz in (500, 1000)}
    assert set(bands) == octave
    assert [*found][-1] == "speeds: [2.0] alone"


def test_views_of_wav2vec2_have_the_noise_that_params_ask_for() -> None:
    found = views.waveforms(*tone(), bursts.RATE_HZ)
    assert {view.shape for view in found.values()} == {(round(0.5 * bursts.RATE_HZ),)}
    assert 0.45 < share_of_tone(found["view 1"]) < 0.65  # as loud as the noise, at 0 dB


def test_each_step_that_params_ask_for_is_shown_alone() -> None:
    changed("wav2vec2", reverberation_s=[0.2, 0.4], gain_db=3.0)
    found = views.waveforms(*tone(), bursts.RATE_HZ)
    alone = ["speed: 0.1", "reverberation_s: [0.2, 0.4]", "snr_db: [0.0, 0.0]", "gain_db: 3.0"]
    assert [*found][views.VIEWS :] == [f"{step} alone" for step in alone]
    shares = [share_of_tone(found[f"{step} alone"]) for step in alone]
    assert [share > 0.95 for share in shares] == [True, True, False, True]


def test_a_view_that_is_louder_than_another_stays_so_on_the_page(tmp_path: Path) -> None:
    changed("wav2vec2", speed=0.0, snr_db=None, gain_db=20.0)
    soundfile.write(tmp_path / "aaaa.wav", tone()[0][0].numpy(), bursts.RATE_HZ, subtype="PCM_16")
    html = views.page(pd.DataFrame({"clip_id": ["aaaa"], "file": ["a.wav"]}), tmp_path)
    sounds = [base64.b64decode(data) for data in re.findall(r'src="data:audio/flac;base64,([^"]+)"', html)]
    peaks = [np.abs(soundfile.read(io.BytesIO(sound))[0]).max() for sound in sounds[-views.VIEWS - 1 :]]
    expected = [np.abs(view).max() for view in views.waveforms(*tone(), bursts.RATE_HZ).values()]
    np.testing.assert_allclose(peaks, 0.5 * np.array(expected) / max(expected), atol=1e-3)
    assert max(peaks) > 1.5 * min(peaks)


def test_without_augment_the_views_are_the_clip_as_it_is() -> None:
    document = yaml.safe_load(Path("params.yaml").read_text())
    document["wav2vec2"]["augment"] = None
    Path("params.yaml").write_text(yaml.safe_dump(document))
    found = views.waveforms(*tone(), bursts.RATE_HZ)
    assert [*found] == [f"view {n}" for n in (1, 2, 3, 4)]
    assert all(share_of_tone(view) > 0.95 for view in found.values())


def test_what_is_resynthesised_has_the_spectrogram_it_was_made_from() -> None:
    view = views.spectrograms(*clip(0.5), bursts.MEL, bursts.RATE_HZ)["view 1"]
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
