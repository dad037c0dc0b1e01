from xml.etree import ElementTree as xml

import pytest
import rows
from label_studio_sdk.label_interface import LabelInterface

from curation import page, tables

ODD = ['a & b <c> "d"', "it's", "Ärger"]


def choices(config: str) -> dict[str, str | None]:
    return {choice.attrib["value"]: choice.get("hotkey") for choice in xml.XML(config).iter("Choice")}


def test_every_answer_has_a_key_of_its_own() -> None:
    found = choices(page.config(["harmful", "safe"]))
    assert found == {"harmful": "1", "safe": "2", "unsure": "u", "bad_audio": "b", "none": "n"}


def test_no_key_has_two_answers_and_classes_beyond_the_keys_are_there_without_one() -> None:
    found = choices(page.config([f"class {n}" for n in range(1, 36)]))
    assert [found[f"class {n}"] for n in (9, 10, 11, 33, 34, 35)] == ["9", "0", "q", "m", None, None]
    keys = [key for key in found.values() if key]
    assert len(set(keys)) == len(keys) == 36


def test_the_answers_come_back_as_label_and_note_of_the_clip() -> None:
    interface = LabelInterface(page.config(["harmful", "safe"]))
    assert [(control.name, control.tag, control.to_name) for control in interface.controls] == [
        ("label", "Choices", ["audio"]),
        ("note", "TextArea", ["audio"]),
    ]


@pytest.mark.parametrize("hinted", [False, True])
def test_a_class_of_any_name_is_a_valid_answer(hinted: bool) -> None:
    config = page.config(ODD, hinted=hinted)
    interface = LabelInterface(config)
    interface.validate()
    assert [name for name in choices(config) if name not in page.ANSWERS] == ODD
    given = {"from_name": "label", "to_name": "audio", "type": "choices", "value": {"choices": [ODD[0]]}}
    assert interface.validate_prediction({"result": [given]}, return_errors=True) == []


def test_only_a_hinted_page_speaks_of_a_guess_and_both_need_nothing_but_the_clip() -> None:
    blind, hinted = (page.config(["harmful", "safe"], hinted=hinted) for hinted in (False, True))
    assert (page.HINTED in blind, page.HINTED in hinted) == (False, True)
    assert [config.count("$") for config in (blind, hinted)] == [1, 1]


def test_the_instructions_name_every_answer_with_its_key_and_its_examples() -> None:
    text = page.instructions(["harmful", "safe"], {"safe": ["/clips/a.wav", "/clips/b.wav"]})
    cells = [["".join(cell.itertext()) for cell in row] for row in xml.XML(f"<body>{text}</body>").iter("tr")]
    assert [row[:2] for row in cells] == [
        ["1", "harmful"],
        ["2", "safe"],
        ["u", "unsure"],
        ["b", "bad_audio"],
        ["n", "none"],
    ]
    assert cells[0][2] == ""
    assert cells[1][2] == "for example 1, 2"
    assert '<a href="/clips/b.wav">2</a>' in text


def test_names_and_addresses_are_escaped_in_the_instructions() -> None:
    text = page.instructions(["<script>alert(1)</script>", "safe"], {"safe": ['"><img src=x onerror=alert(1)>']})
    tags = {element.tag for element in xml.XML(f"<body>{text}</body>").iter()}
    assert tags == {"body", "p", "table", "tbody", "tr", "td", "kbd", "b", "a"}


def test_examples_are_the_most_certain_clips_that_nobody_doubts_or_is_asked_about() -> None:
    clips = {"a": 0.6, "b": 0.9, "c": 0.8, "flagged": 0.95, "asked": 0.99, "d": 0.7}
    labels = rows.labelled(tables.LABELS, **dict.fromkeys(clips, "safe"), e="harmful")
    scores = rows.table(
        tables.SCORES,
        *({"clip_id": clip, "label": "safe", "probability": p} for clip, p in clips.items()),
        *({"clip_id": clip, "label": "harmful", "probability": 1 - p} for clip, p in clips.items()),
        {"clip_id": "e", "label": "harmful", "probability": 0.5},
        {"clip_id": "e", "label": "safe", "probability": 0.5},
    )
    found = page.examples(
        labels, scores, rows.labelled(tables.FLAGS, flagged="safe"), rows.table(tables.QUEUE, {"clip_id": "asked"})
    )
    assert found == {"harmful": ["e"], "safe": ["b", "c", "d"]}
