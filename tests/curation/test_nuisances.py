import numpy as np
import pandas as pd

from curation import nuisances, tables


def test_bins_are_evenly_filled_named_by_what_is_in_them_and_clips_without_a_value_have_their_own() -> None:
    rows = pd.DataFrame({"snr_db": [1.0, 2, 3, 4, 5, 6, 7, 8, np.nan], "codec": ["a"] * 4 + ["b"] * 5})
    found = nuisances.bins(rows, ["snr_db", "codec"])
    assert found.sum().to_dict() == {
        "snr_db 1 to 2": 2,
        "snr_db 3 to 4": 2,
        "snr_db 5 to 6": 2,
        "snr_db 7 to 8": 2,
        "snr_db unknown": 1,
        "codec a": 4,
        "codec b": 5,
    }


def test_every_measure_is_of_columns_that_clips_have_and_each_column_is_in_one() -> None:
    columns = [column for of_measure in nuisances.MEASURES.values() for column in of_measure]
    assert set(columns) <= set(tables.CLIPS.columns)
    assert len(set(columns)) == len(columns)
