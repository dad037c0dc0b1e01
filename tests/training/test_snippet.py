import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rows
import soundfile
import torch
from safetensors.torch import save_file

from curation import descriptors, files, params, vectors
from training import clips, encoders, fit, lite_cnn, mel, svm, wav2vec2
from training.recipe import Recipe
from training.snippet import snippet

DATA = params.Data(classes=("harmful", "safe"), clip_s=1, rate_hz=16000)
MEL = mel.Params(window_s=0.064, hop_s=0.05, bands=16, min_hz=50, max_hz=8000)
SCRATCH = encoders.Scratch(convolutions=((8, 320, 160), (8, 4, 4)), width=8, heads=1, layers=1, dropout=0)
ENCODER, ARGUMENTS = encoders.scratch(SCRATCH, MEL, rate_hz=16000)
MODELS = {
    "lite_cnn": (
        lambda: lite_cnn.LiteCNN(16, [4], 2, dropout=0),
        {"channels": [4], "mel": MEL.model_dump()},
        lambda samples, lengths: lite_cnn.inputs(samples, lengths, MEL, rate_hz=16000),
    ),
    "wav2vec2": (
        lambda: wav2vec2.Wav2Vec2(ENCODER, 2, dropout=0, unfrozen_layers="all"),
        {"weights": "scratch", "encoder": ARGUMENTS},
        wav2vec2.inputs,
    ),
}


@pytest.mark.parametrize("kind", MODELS)
def test_the_lines_say_of_a_clip_what_the_training_says_of_it(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build, known, inputs = MODELS[kind]
    audio, folder = tmp_path / 'the "clips"', tmp_path / kind
    audio.mkdir()
    samples = np.random.default_rng(0).normal(0, 3000, 16000).astype(np.int16)
    samples[9000:] = 0
    soundfile.write(audio / "c1.wav", samples, 16000)
    torch.manual_seed(0)
    model = build().eval()
    files.write_json(DATA.model_dump() | {"model": kind, "rounds": ["test"]} | known, folder / "model.json")
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "test.safetensors")
    exec(snippet(kind, "test", "c1", folder=folder, audio=audio), {})  # noqa: S102 - our own lines
    said = json.loads(capsys.readouterr().out.replace("'", '"'))
    x, lengths = inputs(*clips.read(audio, ["c1"], DATA))
    held = clips.Clips(x, lengths, torch.zeros(1, 2), torch.ones(1))
    recipe = Recipe.model_construct(batch_clips=2)
    expected = fit.predict(model, held, torch.tensor([0]), recipe)[0].tolist()
    assert said == pytest.approx(dict(zip(DATA.classes, expected, strict=True)), abs=1e-6)


def test_the_lines_of_a_support_vector_machine_predict_from_the_sound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    p = descriptors.Params.load("features", rows.PARAMS)
    rng = np.random.default_rng(0)
    clip_ids = tuple(f"c{n}" for n in range(4))
    sounds = [rng.normal(0, 3000, 16000) * np.linspace(n % 2, 1, 16000) for n in range(4)]
    for clip_id, sound in zip(clip_ids, sounds, strict=True):
        soundfile.write(tmp_path / f"{clip_id}.wav", sound.astype(np.int16), 16000)
    x, _ = svm.inputs(*clips.read(tmp_path, clip_ids, DATA), p, rate_hz=16000)
    listed = pd.DataFrame({"clip_id": clip_ids, "label": 2 * DATA.classes, "fold": 0, "times": 1, "weight": 1.0})
    model = svm.svm(vectors.Vectors(clip_ids, {"all": x.numpy()}), listed, svm.Params(penalty=1), classes=DATA.classes)
    files.write_json(DATA.model_dump() | {"model": "svm", "features": p.model_dump()}, tmp_path / "model.json")
    save_file(model.state_dict(), tmp_path / "test.safetensors")
    exec(snippet("svm", "test", "c1", folder=tmp_path, audio=tmp_path), {})  # noqa: S102 - our own lines
    said = json.loads(capsys.readouterr().out.replace("'", '"'))
    assert list(said.values()) == pytest.approx(svm.predict(model, x.numpy())[1].tolist(), abs=1e-9)
    assert said["safe"] > 0.6


def test_a_strange_model_has_no_lines() -> None:
    assert snippet("somebodys", "test", "c1", folder=Path("m"), audio=Path("a")) == ""
