"""Which times and frequencies speak for what a model says: maps over what it heard, and how far to trust them."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from captum.attr import GradientShap, IntegratedGradients, LayerGradientXActivation, Occlusion
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from training.heard import BATCH, Heard
from training.lite_cnn import LiteCNN

Map: TypeAlias = NDArray[np.float64]  # of shape (bands, frames): above 0 speaks for the class, below against it
Method: TypeAlias = Callable[[Heard, int, Tensor], Map]

DRAWS = 64  # of SHAP: each a background clip and a place on the way to it
STEPS = 64  # of integrated gradients
PATCH_MEL_SHARE, PATCH_S = 1 / 8, 0.4  # hidden at once by occlusion; the next one overlaps by half
BLUR_BANDS, BLUR_S = 2, 0.15  # standard deviations: single cells mean nothing to an ear


def grad_cam(heard: Heard, said: int, background: Tensor) -> Map:
    """Return where the last convolution finds what speaks for the class; nothing speaks against it.

    Selvaraju et al., Grad-CAM, ICCV 2017, arXiv 1610.02391. Its mean of the gradients over all cells suits no head that
    reads each band by itself: each cell has its own, as in HiResCAM, Draelos and Carin 2020, arXiv 2011.08891. What
    LiteCNN's `Patterns` say is not in it.
    """
    if not isinstance(heard.model, LiteCNN):
        raise TypeError("Grad-CAM needs convolutions over the grid")
    blocks = heard.model.blocks
    layer = LayerGradientXActivation(lambda grids: heard.log_odds(grids, said), blocks[-1])
    coarse = layer.attribute(_leaf(heard.x))[0].sum(dim=0).relu().detach().double().numpy()
    places = np.indices((heard.x.shape[1], heard.length)) / 2 ** len(blocks)  # cell n of a stride of 2 is centred on 2n
    fine = ndimage.map_coordinates(coarse, places, order=1, mode="nearest")
    frames = heard.x.shape[2]
    repeats = [fine[:, start : start + frames] for start in range(0, heard.length, frames)]
    summed: Map = np.sum([np.pad(part, ((0, 0), (0, frames - part.shape[1]))) for part in repeats], axis=0)
    return summed


def shap(heard: Heard, said: int, background: Tensor) -> Map:
    """Return the Shapley values by expected gradients: against the clips of `background`, of the shape of `heard.x`.

    Lundberg and Lee, NeurIPS 2017, arXiv 1705.07874; Erion et al., 2021, doi 10.1038/s42256-021-00343-w.
    """
    state = np.random.get_state()  # noqa: NPY002 - the generator that captum draws from
    np.random.seed(0)  # noqa: NPY002
    try:
        method = GradientShap(lambda grids: heard.log_odds(grids, said))
        found = method.attribute(_leaf(heard.x), baselines=background, n_samples=DRAWS)
    finally:
        np.random.set_state(state)  # noqa: NPY002
    return _blurred(found, heard)


def integrated_gradients(heard: Heard, said: int, background: Tensor) -> Map:
    """Return the integrated gradients on the way from the hidden sound; on a waveform that is faint noise.

    Sundararajan, Taly and Yan, ICML 2017, arXiv 1703.01365.
    """
    method = IntegratedGradients(lambda grids: heard.log_odds(grids, said))
    found = method.attribute(_leaf(heard.x), baselines=heard.hidden, n_steps=STEPS, internal_batch_size=BATCH)
    return _blurred(found, heard)


def occlusion(heard: Heard, said: int, background: Tensor) -> Map:
    """Return by how much the log-odds fall when a patch is hidden, mean over the patches that cover a cell.

    Zeiler and Fergus, ECCV 2014, arXiv 1311.2901.
    """
    bands, frames = heard.x.shape[1:]
    patch = (max(2, round(bands * PATCH_MEL_SHARE)), min(frames, max(2, round(PATCH_S / heard.hop_s))))
    with torch.inference_mode():
        found = Occlusion(lambda grids: heard.log_odds(grids, said)).attribute(
            heard.x,
            sliding_window_shapes=patch,
            strides=(patch[0] // 2, max(1, patch[1] // 2)),
            baselines=heard.hidden,
            perturbations_per_eval=BATCH,
        )
    gained: Map = found[0].double().numpy()
    return gained


METHODS: dict[str, Method] = {
    "Grad-CAM": grad_cam,
    "SHAP": shap,
    "integrated gradients": integrated_gradients,
    "occlusion": occlusion,
}


def region(found: Map) -> tuple[slice, slice] | None:
    """Return the bands and frames around the highest peak that reach half of it; None: nothing speaks for the class."""
    if found.max() <= 0:
        return None
    parts, _ = ndimage.label(found >= found.max() / 2)
    where = ndimage.find_objects(parts)[parts.flat[found.argmax()] - 1]
    return where[0], where[1]


def deletion(heard: Heard, said: int, found: Map, *, steps: int = 20) -> NDArray[np.float64]:
    """Return the probability of the class as ever more cells are hidden, those highest in the map first.

    The mean is the area under the deletion curve: the lower, the more the map names what the model goes by. Petsiuk,
    Das and Saenko, RISE, BMVC 2018, arXiv 1806.07421.
    """
    rank = np.empty(found.size)
    rank[np.argsort(-found, axis=None, kind="stable")] = np.arange(found.size)
    shares = np.linspace(0, 1, steps + 1)[:, None, None]
    hidden = torch.from_numpy(rank.reshape(found.shape) < shares * found.size)
    return heard.probability(heard.without(hidden), said).double().numpy()


def _leaf(x: Tensor) -> Tensor:
    return x.clone().requires_grad_()


def _blurred(found: Tensor, heard: Heard) -> Map:
    sigma = (BLUR_BANDS, BLUR_S / heard.hop_s)
    blurred: Map = ndimage.gaussian_filter(found[0].detach().double().numpy(), sigma)
    return blurred
