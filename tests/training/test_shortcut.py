import dataclasses

import rows
import stand

from curation import tables
from training import shortcut
from training.findings import Findings

CODEC = {"measure": "codec", "auc": 0.81, "chance_auc": 0.7, "where": "codec mp3", "clips": 5, "share": 0.8}
MP3 = ["h3", "s0", "s1", "s2", "s3"]


def told(found: Findings, **changed: object) -> Findings:
    """Return the findings of a project in which most clips in MP3 are safe, and all measures together tell more."""
    table = rows.table(
        tables.SHORTCUTS, {"measure": "all", "auc": 0.9, "chance_auc": 0.7}, CODEC | {"label": "safe"} | changed
    )
    codecs = ["mp3" if clip in (*MP3, "u0") else "wav" for clip in found.clips["clip_id"]]
    return dataclasses.replace(found, shortcuts=table, clips=found.clips.assign(codec=codecs))


def test_a_shortcut_that_is_no_luck_is_named_with_its_first_clips(found: Findings) -> None:
    cause = shortcut.cause(told(found))
    assert cause.verdict == "supported"
    assert cause.figure == (
        "`codec` alone tells the label with an AUC of 0.81; luck reaches 0.70. "
        "Of 5 clips with `codec mp3` 80% are `safe`: `s0.wav`, `s1.wav`, `s2.wav` ..."
    )


def test_the_clips_that_it_tells_right_are_listed_and_not_the_others_of_its_bin(found: Findings) -> None:
    clips = shortcut.culprits(told(found))
    assert clips["clip_id"].tolist() == ["s0", "s1", "s2", "s3"]
    assert list(clips.columns) == ["clip_id", "file", "label", "codec"]


def test_a_measured_bin_holds_the_clips_that_the_audit_counted(found: Findings) -> None:
    levels = [float(n) for n in range(len(found.clips))]
    lowest = "snr_db 0 to 4"  # a quarter of the 20 labelled clips, which come first
    noise = told(found, measure="noise", where=lowest, label="harmful")
    clips = shortcut.culprits(dataclasses.replace(noise, clips=noise.clips.assign(snr_db=levels)))
    assert len(clips) == 5
    assert clips["snr_db"].max() == 4


def test_luck_has_no_clips(found: Findings) -> None:
    lucky = told(found, auc=0.7)
    assert shortcut.cause(lucky).verdict == "cleared"
    assert shortcut.culprits(lucky).empty
    assert stand.LABELS.keys() <= set(lucky.clips["clip_id"])
