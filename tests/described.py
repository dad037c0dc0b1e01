"""A tiny data set and a model, as the cards describe them: every table is on this page."""

import io
from pathlib import Path

import pandas as pd
import rows

from curation import params, tables
from curation.dataset import Dataset
from training.model_card import Model, Weights

CLASSES = ("harmful", "safe")
TABLES = {
    "clips": """
clip_id,file,duration_s,padded_s,label,rate_hz,channels,codec
c1,pier/1.wav,3,0.5,harmful,16000,1,wav/pcm_16
c2,pier/2.wav,6,0.5,harmful,16000,1,wav/pcm_16
c3,pier/3.wav,9,0,harmful,16000,1,wav/pcm_16
c4,pier/4.wav,12,0,harmful,16000,1,wav/pcm_16
c5,pier/5.wav,15,0,safe,16000,1,wav/pcm_16
c6,pier/6.wav,18,0,safe,48000,1,wav/pcm_16
c7,pier/7.mp3,21,0,safe,48000,1,mp3/mpeg_layer_iii
c8,pier/8.mp3,24,0,,48000,2,mp3/mpeg_layer_iii
""",
    "rejects": """
file,label,reason
pier/a.wav,harmful,silent
pier/b.wav,safe,silent
pier/c.wav,,unlisted
""",
    "labels": """
clip_id,label,origin,confidence,answers
c1,safe,review,1,2
c2,harmful,review,1,1
c3,safe,review,1,1
c4,harmful,given,,0
c5,,review,1,1
c6,safe,given,,0
c7,safe,given,,0
c8,,none,,0
""",
    "groups": """
clip_id,group,why
c1,g1,given
c2,g1,c1
c3,g3,given
c4,g4,given
c5,g5,given
c6,g6,given
c7,g7,given
c8,g8,given
""",
    "folds": """
clip_id,fold
c1,0
c2,0
c3,1
c4,2
c5,0
c6,1
c7,2
c8,2
""",
    "reviews": """
clip_id,annotator,reviewed_utc,answer,shown,asked
c1,ann,2026-01-01T00:00:01Z,safe,blind,suspect
c1,bob,2026-01-01T00:00:02Z,safe,hinted,suspect
c2,ann,2026-01-01T00:00:03Z,harmful,blind,audit
c3,ann,2026-01-01T00:00:04Z,safe,blind,audit
c5,bob,2026-01-01T00:00:05Z,bad_audio,blind,suspect
""",
    "flags": """
clip_id,reason
c1,label
c6,label
c6,clipped
""",
    "shortcuts": """
measure,auc,chance_auc,where,label,clips,share
all,0.95,0.75,codec mp3/mpeg_layer_iii,safe,2,1
codec,0.85,0.75,codec mp3/mpeg_layer_iii,safe,2,1
level,0.65,0.75,rms_dbfs -20 to -10,safe,3,0.6
""",
    "train": """
clip_id,label,times,why
c1,safe,1,kept
c2,harmful,2,repeated
c3,safe,1,kept
c4,harmful,1,kept
c5,,0,unlabelled
c6,safe,1,kept
c7,safe,1,kept
c8,,0,unlabelled
""",
}
SHIFTED = {
    "clean": {"value": 0.88, "low": 0.61, "high": 1.0, "majority": 0.5},
    "worst": {"axis": "gain_db", "severity": 12, "value": 0.55, "low": 0.5, "high": 0.7, "change_high": -0.1},
    "slope": {},
}


def tables_of(classes: tuple[str, ...] = CLASSES) -> dict[str, pd.DataFrame]:
    """Return the tables by name, with other names for the classes if wanted."""
    names = dict(zip(CLASSES, classes, strict=True))
    return {
        name: _parsed(getattr(tables, name.upper()), text).replace({"label": names, "answer": names})
        for name, text in TABLES.items()
    }


def _parsed(kind: tables.Table, text: str) -> pd.DataFrame:
    frame = pd.read_csv(io.StringIO(text), keep_default_na=False, na_values={"confidence": [""]})
    return rows.table(kind, *frame.to_dict("records"))


def dataset(classes: tuple[str, ...] = CLASSES, **changed: object) -> Dataset:
    """Return the data set, changed in some way."""
    found = {name: table for name, table in tables_of(classes).items() if name != "train"}
    data = params.Data(classes=classes, clip_s=8, rate_hz=16000)
    return Dataset(**{"data": data, "refused": ""} | found | changed)


def _figure(value: float, low: float | None, high: float | None, **baselines: float) -> dict[str, float | None]:
    return {"value": value, "low": low, "high": high} | baselines


def measured(classes: tuple[str, ...] = CLASSES) -> dict[str, object]:
    """Return what stage `evaluate` writes of a model."""
    first, second = classes
    return {
        "clips": 6,
        "groups": 5,
        "accuracy": _figure(0.83, 0.5, 1.0, majority=0.67),
        "balanced_accuracy": _figure(0.88, 0.61, 1.0, majority=0.5),
        "mcc": _figure(0.71, None, None, majority=0.0),
        "recall": {
            first: _figure(1.0, 1.0, 1.0, majority=0.0, minority=1.0),
            second: _figure(0.75, 0.32, 0.97, majority=1.0, minority=0.0),
        },
        "ece": {"value": 0.13, "majority": 0.02},
        "score_std": 0.2,
        "collapsed": 0,
        "at_chance": 0,
        "faults": [],
    }


def model(classes: tuple[str, ...] = CLASSES, **changed: object) -> Model:
    """Return the model, changed in some way."""
    known = {
        "name": "lite_cnn",
        "measured": measured(classes),
        "shifted": SHIFTED,
        "recipe": {
            "lite_cnn": {"channels": [16, 32], "epochs": 35},
            "data": {"classes": [*classes], "clip_s": 8},
            "balance": {"method": "oversample"},
        },
        "train": tables_of(classes)["train"],
        "folder": Path("models/lite_cnn"),
        "built": {"model": "lite_cnn", "rounds": ["fold_0", "fold_1", "fold_2"]},
        "weights": {f"fold_{fold}": Weights(numbers=61399, size_bytes=248112) for fold in range(3)},
    }
    return Model(**known | changed)
