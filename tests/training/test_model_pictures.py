import dataclasses
from xml.etree import ElementTree as xml

import numpy as np
import pandas as pd
import pytest
import rows
import stand
from drawn import bars

from curation import tables
from training import curves, data_pictures, metrics, model_pictures
from training.findings import Findings


def every(found: Findings) -> list:
    return [*data_pictures.pictures(found), *model_pictures.pictures(found)]


def test_every_picture_is_well_formed_and_has_a_title_words_and_a_table(found: Findings) -> None:
    pictures = every(found)
    assert len({picture.title for picture in pictures}) == len(pictures) == 12
    for picture in pictures:
        root = xml.fromstring(picture.drawn)  # noqa: S314 - ours
        assert root.get("aria-label") == picture.title
        assert picture.words
        assert {len(row) for row in picture.rows} == {len(picture.header)}


def test_the_histogram_holds_every_clip_on_its_side(found: Findings) -> None:
    picture = model_pictures.scores(found, "lite_cnn")
    assert [int(row[1]) for row in picture.rows] == [0, 1, 0, 0, 0, 0, 0, 0, 0, 11]
    assert [int(row[2]) for row in picture.rows] == [0, 7, 0, 0, 0, 0, 0, 0, 0, 1]
    up, down = bars(picture, 0), bars(picture, 1)
    assert up[9] / up[1] == pytest.approx(11, rel=0.02)
    assert down[1] / up[9] == pytest.approx(7 / 11, rel=0.02)


def test_the_confusion_is_that_of_the_model(found: Findings) -> None:
    assert model_pictures.confusion(found, "lite_cnn").rows == [["harmful", "11", "1"], ["safe", "1", "7"]]
    assert model_pictures.confusion(found, "wav2vec2").rows == [["harmful", "12", "0"], ["safe", "8", "0"]]


def test_precision_at_a_recall_is_the_best_that_reaches_it(found: Findings) -> None:
    assert model_pictures.precision_recall(found).rows == [
        ["lite_cnn", "0.92", "0.92", "0.60"],
        ["wav2vec2", "0.60", "0.60", "0.60"],
    ]


def test_reliability_lists_the_bins_of_each_model(found: Findings) -> None:
    assert model_pictures.reliability(found).rows == [
        ["lite_cnn", "0.90", "0.90", "20"],
        ["wav2vec2", "0.60", "0.60", "20"],
    ]


def test_the_loss_falls_from_left_to_right_where_it_fell(found: Findings) -> None:
    assert [row[1] for row in model_pictures.losses(found, "wav2vec2").rows] == ["0.693"] * 5
    falls = [float(row[1]) for row in model_pictures.losses(found, "lite_cnn").rows]
    assert falls == sorted(falls, reverse=True)


def test_many_classes_have_their_pictures_too() -> None:
    classes = tuple(f"a rather long name of class {n}" for n in range(10))
    names = [f"c{n}" for n in range(20)]
    truth = np.arange(20) % 10
    outcome = metrics.Outcome(truth, np.eye(10)[truth] * 0.5 + 0.05)
    labels = rows.table(
        tables.LABELS, *({"clip_id": name, "label": classes[n]} for name, n in zip(names, truth, strict=True))
    )
    long = pd.DataFrame(outcome.probabilities, columns=classes).assign(clip_id=names)
    plots = {
        "confusion": curves.confusion(pd.Series(names), outcome, classes),
        "reliability": curves.reliability(outcome),
        "precision_recall": curves.precision_recall(outcome),
    }
    accuracy = {"value": 1.0, "low": 1.0, "high": 1.0}
    empty = {field.name: None for field in dataclasses.fields(Findings)}
    ten = Findings(**empty | {
        "classes": classes,
        "labels": labels,
        "clips": rows.table(tables.CLIPS, *({"clip_id": name} for name in names)),
        "groups": rows.table(tables.GROUPS, *({"clip_id": name, "group": name} for name in names)),
        "folds": rows.table(tables.FOLDS, *({"clip_id": name} for name in names)),
        "metrics": {"m": {"clips": 20, "groups": 20, "balanced_accuracy": accuracy, "roc_auc": accuracy}},
        "predictions": {"m": long.melt("clip_id", var_name="label", value_name="probability")},
        "plots": {"m": plots},
        "trainings": {},
        "ablations": stand.ablations(),
    })  # fmt: skip
    assert model_pictures.confusion(ten, "m").rows[3] == [classes[3], *("2" if n == 3 else "0" for n in range(10))]
    assert len(every(ten)) == 8
