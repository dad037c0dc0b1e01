"""What is known of a clip besides its sound: measures of how it was recorded, in bins."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from curation import tables

MEASURES: Mapping[str, tuple[str, ...]] = {  # columns of `tables.CLIPS` by what they have in common
    "bandwidth": ("bandwidth_hz",),
    "channels": ("channels", "dead_channels", "inverted"),
    "clipping": ("clipped_share",),
    "codec": ("codec",),
    "dc_offset": ("dc_offset",),
    "length": ("source_s",),
    "level": ("peak_dbfs", "rms_dbfs", "loudness_lufs"),
    "noise": ("snr_db",),
    "padding": ("padded_s", "trailing_silence_s"),  # by us, and by whoever cut the recording
    "sample_rate": ("rate_hz",),
    "silence": ("silent_share", "leading_silence_s"),
}
BINS = 4  # of a measure, evenly filled; clips without a value have their own


def bins(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return in which bin of each column each clip is: a bool column a bin, named by what is in it."""
    return pd.concat([pd.get_dummies(_named(rows[column])) for column in columns], axis=1)


def _named(values: pd.Series) -> pd.Series:
    name = str(values.name)
    if tables.CLIPS.columns[name].kind != "float":
        return name + " " + values.astype(str)
    edges = np.unique(values.quantile(np.arange(1, BINS) / BINS).dropna())
    code = np.where(values.isna(), len(edges) + 1, np.searchsorted(edges, values))
    ends = values.groupby(code).agg(["min", "max"])
    spans = {code: f"{name} {low:.4g} to {high:.4g}" for code, low, high in ends.itertuples()}
    return pd.Series([spans[number] if number <= len(edges) else f"{name} unknown" for number in code])
