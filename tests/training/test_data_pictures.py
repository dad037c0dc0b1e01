import numpy as np
import pytest
from drawn import bars

from training import data_pictures
from training.findings import Findings


def test_the_balance_counts_clips_and_groups_of_each_class(found: Findings) -> None:
    picture = data_pictures.balance(found)
    assert picture.rows == [["harmful", "12", "6", "2"], ["safe", "8", "4", "2"]]
    assert (len(bars(picture, 0)), len(bars(picture, 1))) == (6, 4)


def test_of_very_many_groups_the_smallest_are_one_block(found: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_pictures, "BLOCKS", 4)
    picture = data_pictures.balance(found)
    assert (len(bars(picture, 0)), len(bars(picture, 1))) == (5, 4)
    assert picture.words.endswith("The groups after the 4 largest are one block.")


def test_the_learning_curve_stands_in_doublings_and_the_other_begins_with_the_labels_as_they_are(
    found: Findings,
) -> None:
    assert [row[:2] for row in data_pictures.amounts(found.ablations).rows] == [["0.5", "0.77"], ["1", "0.85"]]
    shares = [row[0] for row in data_pictures.spoilt(found.ablations).rows]
    assert shares == ["0", "0.1", "0.2"]


def test_an_interval_that_is_not_known_is_not_drawn(found: Findings) -> None:
    unknown = found.ablations.assign(low=np.nan)
    assert "band" in data_pictures.amounts(found.ablations).drawn
    assert "band" not in data_pictures.amounts(unknown).drawn
