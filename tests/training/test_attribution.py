import bursts
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from training import attribution
from training.attribution import Map
from training.heard import Heard

START_S = 0.7
PAIRS = [
    (name, method)
    for name in ("lite_cnn", "wav2vec2")
    for method in attribution.METHODS
    if (name, method) != ("wav2vec2", "Grad-CAM")
]


def hear(name: str, model: torch.nn.Module, length: int | None = None) -> Heard:
    return bursts.hear(name, model, bursts.clip(START_S, np.random.default_rng(5)), length)


def found(method: str, name: str, grid: Heard) -> Map:
    rng = np.random.default_rng(6)
    others = [bursts.hear(name, grid.model, bursts.clip(start, rng)).x for start in (None, 0.1, None, 0.9, None, 0.4)]
    compared = torch.cat(others)[..., : grid.x.shape[-1]] if name == "lite_cnn" else torch.zeros_like(grid.x)
    return attribution.METHODS[method](grid, bursts.BURST, compared)


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_the_peak_of_a_map_lies_where_the_class_is(name: str, method: str) -> None:
    grid = hear(name, bursts.learnt(name))
    band, frame = np.unravel_index(found(method, name, grid).argmax(), grid.x.shape[1:])
    coarse = 2 if method == "Grad-CAM" else 1  # a cell of the last convolution has eight bands and frames
    assert START_S - 0.1 * coarse < frame * grid.hop_s < START_S + bursts.BURST_S + 0.1 * coarse
    assert 1100 / coarse < grid.edges_hz[band] < 1800 * coarse


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_to_delete_what_a_map_names_hurts_more_than_to_delete_as_much_elsewhere(name: str, method: str) -> None:
    grid = hear(name, bursts.learnt(name))
    own = found(method, name, grid)
    shifts = [(0.3, 0.3), (0.6, 0.3), (0.3, 0.6), (0.6, 0.6)]
    moved = [np.roll(own, [round(a * n) for a, n in zip(shift, own.shape, strict=True)], (0, 1)) for shift in shifts]
    areas = [attribution.deletion(grid, bursts.BURST, one).mean() for one in (own, *moved)]
    assert areas[0] < min(areas[1:]) - 0.05


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_random_weights_change_the_map(name: str, method: str) -> None:
    """Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, arXiv 1810.03292."""
    maps = [found(method, name, hear(name, model)) for model in (bursts.learnt(name), bursts.new(name).eval())]
    assert spearmanr(maps[0].ravel(), maps[1].ravel()).statistic < 0.5


@pytest.mark.parametrize("name", ["lite_cnn", "wav2vec2"])
def test_integrated_gradients_share_out_all_that_hiding_the_clip_takes_away(name: str) -> None:
    grid = hear(name, bursts.learnt(name))
    with torch.inference_mode():
        whole, none = (grid.log_odds(x, bursts.BURST).item() for x in (grid.x, torch.full_like(grid.x, grid.hidden)))
    assert found("integrated gradients", name, grid).sum() == pytest.approx(whole - none, rel=0.15)


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_the_same_clip_has_the_same_map_whatever_was_drawn_before(name: str, method: str) -> None:
    grid = hear(name, bursts.learnt(name))
    maps = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        maps.append(found(method, name, grid))
        assert np.random.uniform() == np.random.RandomState(seed).uniform()  # noqa: NPY002 - and takes no draw away
    np.testing.assert_array_equal(*maps)


def test_grad_cam_counts_what_is_heard_again_where_it_was_heard_first() -> None:
    grid = hear("lite_cnn", bursts.learnt("lite_cnn"), length=8000)
    own = found("Grad-CAM", "lite_cnn", grid)
    assert own.shape == grid.x.shape[1:]
    assert START_S - 0.2 < own.max(axis=0).argmax() * grid.hop_s <= 1.0


def test_grad_cam_of_a_model_without_convolutions_over_the_grid_is_refused() -> None:
    with pytest.raises(TypeError, match="needs convolutions"):
        found("Grad-CAM", "wav2vec2", hear("wav2vec2", bursts.learnt("wav2vec2")))


def test_the_region_is_the_highest_peak_down_to_half_of_it() -> None:
    one = np.zeros((6, 9))
    one[1:3, 2:5] = 6
    one[2, 3] = 10
    one[4:, 7:] = 9  # as high, but another
    one[2, 5] = 4
    assert attribution.region(one) == (slice(1, 3), slice(2, 5))
    assert attribution.region(-one) is None


def test_deletion_begins_with_the_clip_and_ends_with_nothing() -> None:
    grid = hear("lite_cnn", bursts.learnt("lite_cnn"))
    curve = attribution.deletion(grid, bursts.BURST, np.zeros(grid.x.shape[1:]), steps=4)
    ends = [grid.probability(x, bursts.BURST).item() for x in (grid.x, torch.full_like(grid.x, grid.hidden))]
    assert len(curve) == 5
    assert [curve[0], curve[-1]] == pytest.approx(ends)
