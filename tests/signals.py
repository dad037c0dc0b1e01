"""Sounds whose properties are known, at 16 kHz."""

import numpy as np

RATE_HZ = 16000


def noise(duration_s: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(duration_s * RATE_HZ)).astype(np.float32)


def pulses(every_s: float, duration_s: float = 4.0) -> np.ndarray:
    """Return noise that begins anew and dies away again and again."""
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    return (noise(duration_s) * np.exp(-40 * (time_s % every_s))).astype(np.float32)


def tone(hz: float, duration_s: float = 2.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(duration_s * RATE_HZ)) / RATE_HZ)).astype(np.float32)
