from pathlib import Path

import bursts
import numpy as np
import pytest

from training import explanation, live

STARTS = {letter * 16: start for letter, start in zip("abcdef", (0.7, None, 0.2, None, 0.4, None), strict=True)}


def load(root: Path, name: str) -> live.Live:
    bursts.write(root, name, bursts.learnt(name), STARTS)
    return live.load(root / "models" / name, root / f"data/predictions/{name}.csv", root / "data/folds.csv")


@pytest.mark.parametrize("name", ["lite_cnn", "wav2vec2"])
def test_a_card_says_what_was_said_by_whom_and_a_map_of_each_method(tmp_path: Path, name: str) -> None:
    model = load(tmp_path, name)
    clip = {"clip_id": "a" * 16, "file": "a.ogg", "label": "burst"}
    card = explanation.card(model, clip, tmp_path / "data/clips", explanation.METHODS[name])
    assert {"said": "noise", "probability": 0.9, "judged_by": "fold 0", "label": "burst"}.items() <= card.items()
    assert [panel["method"] for panel in card["panels"]] == [*explanation.METHODS[name]]
    assert card["duration_s"] == pytest.approx(bursts.CLIP_S)


@pytest.mark.parametrize("name", ["lite_cnn", "wav2vec2"])
def test_without_the_burst_the_model_finds_none_and_without_as_much_elsewhere_it_does(
    tmp_path: Path, name: str
) -> None:
    model = load(tmp_path, name)
    grid = explanation.hear(model, "a" * 16, tmp_path / "data/clips", model.rounds[0])
    bands = np.searchsorted(grid.edges_hz, (1200, 1900))
    frames = np.round(np.array([0.65, 1.0]) / grid.hop_s).astype(int)
    left, elsewhere = explanation.without((slice(*bands), slice(*frames)), [grid], bursts.BURST)
    assert left < 0.3
    assert elsewhere > 0.7


def test_shap_compares_with_other_clips_never_with_the_clip_itself(tmp_path: Path) -> None:
    model = load(tmp_path, "lite_cnn")
    grid = explanation.hear(model, "a" * 16, tmp_path / "data/clips", model.rounds[0])
    compared = explanation.background(model, "a" * 16, tmp_path / "data/clips", grid)
    assert compared.shape == (len(STARTS) - 1, *grid.x.shape[1:])
    assert not (compared == grid.x).all(dim=(1, 2)).any()
