"""Small corpora for the tests: one made by code in seconds, and real recordings where they are."""

from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from curation import sounds, tables

KINDS = {"harmful": (sounds.siren, sounds.scream), "safe": (sounds.rain, sounds.footsteps)}
OTHER = {"harmful": "safe", "safe": "harmful"}
ESC10 = Path(__file__).parents[1] / ".." / "shared" / "data" / "esc10"


@dataclass(frozen=True)
class Truth:
    """What is in a corpus: the right label of every usable file, and the faults."""

    labels: dict[str, str]
    flipped: tuple[str, ...]
    silent: str
    duplicate: tuple[str, str]
    unreadable: str


def make(root: Path, *, seed: int = 0, per_class: int = 12, duration_s: float = 1, rate_hz: int = 16_000) -> Truth:
    """Write data/raw and data/raw.csv below `root`: every recording a group, a flip a class, three faults."""
    raw = root / "data" / "raw"
    raw.mkdir(parents=True)
    labels = {}
    for label, kinds in KINDS.items():
        for number, model in enumerate(islice(cycle(kinds), per_class)):
            file = f"{label[0]}{number:02}.wav"
            seeds = (seed, len(labels))
            sound = sounds.record(model, source=seeds, take=(*seeds, 1), duration_s=duration_s, rate_hz=rate_hz)
            soundfile.write(raw / file, sound, rate_hz, subtype="PCM_16")
            labels[file] = label
    flipped = ("h00.wav", "s00.wav")
    soundfile.write(raw / "silent.wav", np.zeros(round(duration_s * rate_hz)), rate_hz)
    soundfile.write(raw / "twin.flac", soundfile.read(raw / "s01.wav", dtype="int16")[0], rate_hz)
    (raw / "broken.wav").write_bytes(b"This is no sound.")
    given = {file: OTHER[label] if file in flipped else label for file, label in labels.items()}
    given |= {"silent.wav": "safe", "twin.flac": "safe", "broken.wav": "harmful"}
    rows = [(file, label, f"group-{Path(file).stem}") for file, label in given.items()]
    tables.write(pd.DataFrame(rows, columns=list(tables.RAW.columns)), root / "data" / "raw.csv", tables.RAW)
    return Truth(labels, flipped, "silent.wav", ("s01.wav", "twin.flac"), "broken.wav")


def esc10() -> Path:
    """Return the folder of the real recordings (clips.csv, crowd.csv, audio/), or skip the test."""
    if not (ESC10 / "clips.csv").is_file():
        pytest.skip("the real recordings are not here: shared/data/esc10 beside the checkout")
    return ESC10.resolve()
