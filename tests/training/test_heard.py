import bursts
import numpy as np
import pytest
import torch

from training import augment, heard

NAMES = ("lite_cnn", "wav2vec2")


@pytest.fixture
def clip() -> np.ndarray:
    return bursts.clip(0.5, np.random.default_rng(0))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [9600, 4321])
def test_a_grid_as_it_is_gives_what_the_model_says_of_the_clip(name: str, length: int, clip: np.ndarray) -> None:
    model = bursts.new(name).eval()
    clip[length:] = 0
    grid = bursts.hear(name, model, clip, length)
    x, lengths = bursts.inputs(name)(torch.from_numpy(clip)[None], torch.tensor([length]))
    with torch.inference_mode():
        whole = model(augment.repeat(x.float(), lengths, x.shape[-1])).softmax(dim=1)[0]
    assert grid.probability(grid.x, 1).item() == pytest.approx(whole[1].item(), abs=1e-4)
    assert grid.x.shape[-1] * grid.hop_s == pytest.approx(length / bursts.RATE_HZ, abs=1.1 * grid.hop_s)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_hidden_changes_nothing_that_the_model_says(name: str, clip: np.ndarray) -> None:
    """Clips with and without the burst are one when the burst is hidden: here, and at its frequency, it was."""
    model = bursts.learnt(name)
    grids = [bursts.hear(name, model, samples) for samples in (clip, bursts.clip(None, np.random.default_rng(0)))]
    said = [grid.probability(grid.x, bursts.BURST).item() for grid in grids]
    hidden = torch.zeros(grids[0].x.shape[1:], dtype=torch.bool)
    bands = (grids[0].edges_hz[1:] > 1300) & (grids[0].edges_hz[:-1] < 1700)
    hidden[torch.from_numpy(bands), :] = True
    left = [grid.probability(grid.without(hidden), bursts.BURST).item() for grid in grids]
    assert abs(said[0] - said[1]) > 0.8
    assert abs(left[0] - left[1]) < 0.1


def test_the_edges_of_mel_bands_lie_around_their_centres() -> None:
    edges_hz = heard.mel_edges_hz(bursts.MEL)
    tone = np.sin(2 * np.pi * 2000 * np.arange(9600) / bursts.RATE_HZ)
    grid = bursts.hear("lite_cnn", bursts.new("lite_cnn").eval(), (20000 * tone).astype(np.int16))
    loudest = int(grid.x[0, :, 20].argmax())
    assert len(edges_hz) == bursts.MEL.bands + 1
    assert edges_hz[loudest] < 2000 < edges_hz[loudest + 1]
