"""A small project with a LiteCNN of which it is known what it says: each round says the same of every sound."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rows
import soundfile
import torch
from safetensors.torch import save_file

from curation import files, tables
from training.lite_cnn import LiteCNN

CLASSES = ("harmful", "safe")
RATE_HZ = 8000
MEL = {"window_s": 0.032, "hop_s": 0.02, "bands": 16, "min_hz": 0, "max_hz": 4000}
KNOWN, NEW, HEARD = (letter * 16 for letter in "abc")  # predicted by training; not there then; learnt from


def write_model(folder: Path, rounds: Mapping[str, float]) -> None:
    """Write a model whose rounds give the first class these probabilities."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    for name, probability in rounds.items():
        model = LiteCNN(MEL["bands"], [2], len(CLASSES), dropout=0)
        head = model.head[1]
        with torch.no_grad():
            model.patterns.meaning[-1].weight.zero_()
            head.weight.zero_()
            head.bias.copy_(torch.tensor([probability, 1 - probability]).log())
        save_file(model.state_dict(), folder / f"{name}.safetensors")
    card = {"rate_hz": RATE_HZ, "clip_s": 1.0, "classes": CLASSES, "model": "lite_cnn", "channels": [2], "mel": MEL}
    files.write_json(card | {"rounds": list(rounds)}, folder / "model.json")


def write(root: Path, *, rounds: Mapping[str, float], folds: Mapping[str, int]) -> None:
    """Write the project: sounds of all three clips, a prediction of 0.8 for KNOWN, the model, the folds."""
    write_model(root / "models" / "lite_cnn", rounds)
    (root / "data" / "clips").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for clip_id in (KNOWN, NEW, HEARD):
        soundfile.write(root / f"data/clips/{clip_id}.wav", 0.1 * rng.standard_normal(RATE_HZ), RATE_HZ)
    said = [{"clip_id": KNOWN, "label": label, "probability": p} for label, p in zip(CLASSES, (0.8, 0.2), strict=True)]
    for kind, path, table in (
        (tables.PREDICTIONS, "predictions/lite_cnn.csv", rows.table(tables.PREDICTIONS, *said)),
        (tables.CLIPS, "clips.csv", rows.table(tables.CLIPS, *({"clip_id": one} for one in (KNOWN, NEW, HEARD)))),
        (tables.FOLDS, "folds.csv", rows.table(tables.FOLDS, *({"clip_id": c, "fold": f} for c, f in folds.items()))),
    ):
        tables.write(table, root / "data" / path, kind)
