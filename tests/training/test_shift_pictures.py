import dataclasses
import re

import stand

from training import shift_pictures
from training.degrade import CLEAN
from training.findings import Findings

RIGHT = stand.right()
DEAF = stand.deafened(RIGHT)


def drawn(found: Findings, **models: dict) -> list[shift_pictures.Picture]:
    shifts, robustness = stand.shifted(models)
    return [*shift_pictures.pictures(dataclasses.replace(found, shifts=shifts, robustness=robustness))]


def test_an_axis_of_several_severities_is_a_curve_from_mild_to_strong(found: Findings) -> None:
    said = {
        CLEAN: RIGHT,
        ("snr_db", 0.0): DEAF,
        ("snr_db", 20.0): RIGHT,
        ("gain_db", -6.0): DEAF,
        ("gain_db", 6.0): RIGHT,
    }
    gain, noise = drawn(found, m=said, n=dict.fromkeys(said, RIGHT))
    assert gain.header == ("model", "-6", "none", "6")
    assert noise.header == ("model", "none", "20", "0")
    assert [cell[:4] for cell in noise.rows[0]] == ["m", "0.90", "0.90", "0.46"]
    assert noise.drawn.count("polyline") == 4  # a line a model, and its sign in the legend
    assert noise.drawn.count("polygon") == 2
    heights = [float(y) for y in re.findall(r'<circle [^>]*cy="([\d.]+)"', noise.drawn)]
    assert heights[0] == heights[1] < heights[2]  # px, downwards


def test_changes_of_one_severity_stand_side_by_side_with_the_clips_as_they_are(found: Findings) -> None:
    (picture,) = drawn(found, m={CLEAN: RIGHT, ("crop_s", 1.0): DEAF, ("opus_kbps", 12.0): RIGHT})
    assert [row[0] for row in picture.rows] == ["no change", "Opus at 12 kbit/s", "a crop to 1 s"]
    assert [row[1][:4] for row in picture.rows] == ["0.90", "0.90", "0.46"]
    places = [float(x) for x in re.findall(r'<circle [^>]*cx="([\d.]+)"', picture.drawn)]
    assert places[2] < places[0] == places[1]


def test_figures_without_an_interval_are_drawn_without_one(found: Findings) -> None:
    shifts = found.shifts.assign(low=float("nan"), high=float("nan"))
    pictures = [*shift_pictures.pictures(dataclasses.replace(found, shifts=shifts))]
    assert len(pictures) == 2
    assert not any("polygon" in picture.drawn for picture in pictures)
    assert pictures[0].rows[0][1] == "0.90 (no interval)"


def test_the_page_shows_every_change_that_was_measured(found: Findings) -> None:
    titles = [picture.title for picture in shift_pictures.pictures(found)]
    assert titles == ["Changed clips: gain", "Changed clips: codecs, band, room, length"]
