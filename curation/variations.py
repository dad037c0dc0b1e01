"""Vary a sound in ways that leave its label as it is: other clips that might have been recorded, to learn from."""

from typing import Annotated

import numpy as np
from pydantic import Field

from curation import params
from curation.audio import Samples, at_speed

SEED = 0  # of the noise


class Params(params.Section):
    """Part `variations` of section `features` of params.yaml."""

    speeds: tuple[Annotated[float, Field(ge=0.5, le=2)], ...]  # at which the sound is played
    part_share: float = Field(gt=0, le=1)  # of the sound: as much of its beginning is heard alone, and of its end
    snr_db: float  # of the sound to white noise
    max_clips: int = Field(ge=0)  # of larger sets there are no variations


def variations(sound: Samples, p: Params, *, silence_db: float) -> list[Samples]:
    """Return a sound at each of the speeds, its beginning, its end, and the sound in noise: the same ones every time.

    Decoste and Schölkopf 2002, Training Invariant Support Vector Machines, doi 10.1023/A:1012454411458.

    Args:
        sound: shape (n_samples,), one or more.
        p: parameters.
        silence_db: below the peak of the sound; a part that is quieter all along is silence, whose label is not that
            of the sound, and the whole sound stands in its place.
    """
    length = max(1, round(p.part_share * len(sound)))
    heard = np.abs(sound).max() * 10 ** (-silence_db / 20)
    parts = [part if np.abs(part).max() > heard else sound for part in (sound[:length], sound[-length:])]
    return [*(at_speed(sound, speed) for speed in p.speeds), *parts, in_noise(sound, p.snr_db)]


def in_noise(sound: Samples, snr_db: float) -> Samples:
    """Return a sound with white noise, `snr_db` below it over the whole of it."""
    noise = np.random.default_rng(SEED).standard_normal(len(sound), dtype=np.float32)
    level = np.sqrt(np.square(sound).mean() / np.square(noise).mean()) * 10 ** (-snr_db / 20)
    noisy: Samples = (sound + level * noise).astype(np.float32)
    return noisy
