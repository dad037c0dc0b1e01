import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import snapshot
from curation.diff import diff

BEFORE = {
    "clips": "clip_id,file,duration_s,label,group\n"
    "c1,a.wav,60,safe,g1\nc2,b.wav,30,harmful,g2\nc3,c.wav,30,safe,g2\nc4,d.wav,60,harmful,g3\n",
    "labels": "clip_id,label,origin\nc1,safe,given\nc2,harmful,given\nc3,safe,given\nc4,harmful,given\n",
    "reviews": "clip_id,annotator,reviewed_utc,answer,shown\nc1,ann,2026-01-01T00:00:00Z,harmful,blind\n"
    "c4,ann,2026-01-01T00:01:00Z,safe,blind\n",
    "rejects": "file,start_s,label,reason,detail\nx.wav,0,safe,silent,Nothing in it.\n",
    "folds": "clip_id,fold\nc1,0\nc2,1\nc3,2\nc4,0\n",
    "train": "clip_id,times,why\nc1,1,kept\nc2,1,kept\nc3,1,kept\nc4,1,kept\n",
    "metrics": '{"cnn": {"clips": 4, "collapsed": 0,'
    ' "mcc": {"value": 0.25, "low": 0.1, "high": 0.5, "majority": 0}, "recall": {"safe": {"value": 0.5}}},'
    ' "old": {"mcc": 0.5}}',
    "params": "split: {folds: 5, salt: earmark}\ndata: {classes: [harmful, safe]}\nfeatures: {}\n",
}
AFTER = {
    "clips": "clip_id,file,duration_s,label,group\n"
    "c1,a.wav,60,safe,g1\nc2,b.wav,30,harmful,g9\nc3,c.wav,30,safe,g2\nc5,e.wav,90,,g5\n",
    "labels": "clip_id,label,origin\nc1,safe,review\nc2,safe,review\nc3,safe,given\nc5,,none\n",
    "reviews": "clip_id,annotator,reviewed_utc,answer,shown\nc1,ann,2026-01-01T00:00:00Z,safe,blind\n"
    "c2,bob,2026-02-01T00:00:00Z,safe,hinted\nc4,ann,2026-01-01T00:01:00Z,safe,blind\n",
    "rejects": "file,start_s,label,reason,detail\nd.wav,0,harmful,truncated,It ends early.\n",
    "folds": "clip_id,fold\nc1,0\nc2,-1\nc3,2\nc5,0\n",
    "train": "clip_id,times,why\nc1,4,repeated\nc3,0,flagged\n",
    "metrics": '{"cnn": {"clips": 4, "collapsed": 1,'
    ' "mcc": {"value": 0.375, "low": 0.2, "high": 0.6, "majority": 0}, "recall": {"safe": {"value": 0.5}}},'
    ' "new": {"mcc": 1}}',
    "params": "split: {folds: 4, salt: earmark}\ndata: {classes: [harmful, safe]}\nfeatures: {mels: 64}\n",
}


def answer(clip_id: str, annotator: str, when: str, said: str, shown: str) -> dict[str, str]:
    row = {"clip_id": clip_id, "annotator": annotator, "reviewed_utc": when, "answer": said, "shown": shown}
    return row | {"seconds": "", "note": "", "annotation_id": "", "annotation_utc": ""}


def sizes(split: str, label: str, *values: tuple[float, ...]) -> dict[str, Any]:
    states = [dict(zip(("clips", "minutes", "groups"), value, strict=True)) for value in values]
    return {"split": split, "label": label, "before": states[0], "after": states[1]}


OLD_ANSWER = answer("c1", "ann", "2026-01-01T00:00:00Z", "harmful", "blind")
CORRECTED = answer("c1", "ann", "2026-01-01T00:00:00Z", "safe", "blind")
NEW_ANSWER = answer("c2", "bob", "2026-02-01T00:00:00Z", "safe", "hinted")
ALONE = {"clips": 0, "agreeing_pairs": None, "alpha": None}
CHANGES: dict[str, Any] = {
    "clips": {
        "added": [{"clip_id": "c5", "file": "e.wav", "label": "", "group": "g5", "fold": "0"}],
        "removed": [{"clip_id": "c4", "file": "d.wav", "label": "harmful", "group": "g3", "fold": "0"}],
    },
    "labels": [
        {
            "clip_id": "c1",
            "file": "a.wav",
            "fold": "0",
            "before": {"label": "safe", "origin": "given"},
            "after": {"label": "safe", "origin": "review"},
            "answers": [OLD_ANSWER, CORRECTED],
        },
        {
            "clip_id": "c2",
            "file": "b.wav",
            "fold": "-1",
            "before": {"label": "harmful", "origin": "given"},
            "after": {"label": "safe", "origin": "review"},
            "answers": [NEW_ANSWER],
        },
    ],
    "answers": {"added": [CORRECTED, NEW_ANSWER], "removed": [OLD_ANSWER]},
    "agreement": {
        "before": ALONE | {"given_blind": 0.0, "given_hinted": None},
        "after": ALONE | {"given_blind": 1.0, "given_hinted": 0.0},
    },
    "rejects": {
        "added": [
            {"file": "d.wav", "start_s": "0", "label": "harmful", "reason": "truncated", "detail": "It ends early."}
        ],
        "removed": [{"file": "x.wav", "start_s": "0", "label": "safe", "reason": "silent", "detail": "Nothing in it."}],
    },
    "balance": [
        sizes("test", "safe", (0, 0.0, 0), (1, 0.5, 1)),
        sizes("training", "", (0, 0.0, 0), (1, 1.5, 1)),
        sizes("training", "harmful", (2, 1.5, 2), (0, 0.0, 0)),
        sizes("training", "safe", (2, 1.5, 2), (2, 1.5, 2)),
    ],
    "groups": [{"clip_id": "c2", "file": "b.wav", "before": "g2", "after": "g9"}],
    "folds": [{"clip_id": "c2", "file": "b.wav", "before": "1", "after": "-1"}],
    "train": [
        {"clip_id": "c2", "file": "b.wav", "before": "used", "after": ""},
        {"clip_id": "c3", "file": "c.wav", "before": "used", "after": "flagged"},
    ],
    "metrics": {
        "cnn": {
            "collapsed": {"before": {"value": 0}, "after": {"value": 1}, "difference": 1},
            "mcc": {
                "before": {"value": 0.25, "low": 0.1, "high": 0.5},
                "after": {"value": 0.375, "low": 0.2, "high": 0.6},
                "difference": 0.125,
            },
        },
        "new": {"mcc": {"before": None, "after": {"value": 1}, "difference": None}},
        "old": {"mcc": {"before": {"value": 0.5}, "after": None, "difference": None}},
    },
    "params": {
        "split.folds": {"before": 5, "after": 4},
        "features.mels": {"before": None, "after": 64},
    },
}
NOTHING: dict[str, str | None] = dict.fromkeys(BEFORE)


def parse(texts: Mapping[str, str | None]) -> snapshot.Snapshot:
    return snapshot.parse({name: None if text is None else text.encode() for name, text in texts.items()})


def swapped(changes: Any) -> Any:
    """Return the changes as they are in the other direction."""
    other = {"before": "after", "after": "before", "added": "removed", "removed": "added"}
    if isinstance(changes, list):
        return [swapped(change) for change in changes]
    if not isinstance(changes, dict):
        return changes
    return {
        other.get(key, key): -value if key == "difference" and value is not None else swapped(value)
        for key, value in changes.items()
    }


def test_every_kind_of_change_is_found() -> None:
    assert diff(parse(BEFORE), parse(AFTER)) == CHANGES


def test_the_other_direction_is_the_same_swapped() -> None:
    back = swapped(CHANGES)
    back["labels"][1]["fold"] = "1"
    assert diff(parse(AFTER), parse(BEFORE)) == back


def test_a_revision_without_any_file_is_as_one_without_clips() -> None:
    assert diff(parse(NOTHING), parse(NOTHING)) == {}
    found = diff(parse(NOTHING), parse(BEFORE))
    assert [clip["clip_id"] for clip in found["clips"]["added"]] == ["c1", "c2", "c3", "c4"]
    assert found["metrics"]["old"] == {"mcc": {"before": None, "after": {"value": 0.5}, "difference": None}}
    assert found.keys() == {"clips", "answers", "agreement", "rejects", "balance", "metrics", "params"}


OLDER = BEFORE | {
    "clips": "clip_id,label\nc1,safe\nc2,harmful\nc3,safe\nc4,harmful\n",
    "labels": None,
    "reviews": "clip_id,annotator,reviewed_utc,answer\nc1,ann,2026-01-01T00:00:00Z,harmful\n"
    "c4,ann,2026-01-01T00:01:00Z,safe\n",
    "rejects": "file,start_s,reason\nx.wav,0,silent\n",
    "folds": None,
    "train": "clip_id\nc1\n",
}


@pytest.mark.parametrize("rejects", [OLDER["rejects"], None])
def test_tables_of_an_older_layout_are_compared_by_what_they_share(rejects: str | None) -> None:
    older, newer = parse(OLDER | {"rejects": rejects}), parse(BEFORE)
    assert diff(older, newer).keys() - {"agreement"} == set()
    assert diff(newer, older).keys() - {"agreement"} == set()


def test_what_an_older_layout_shares_is_compared() -> None:
    found = diff(parse(OLDER), parse(AFTER | {"labels": BEFORE["labels"]}))
    assert {clip["clip_id"] for rows in found["clips"].values() for clip in rows} == {"c4", "c5"}
    assert [answer["clip_id"] for answer in found["answers"]["added"]] == ["c1", "c2"]
    assert [row["file"] for rows in found["rejects"].values() for row in rows] == ["d.wav", "x.wav"]
    unknown = {"minutes": None, "groups": None}
    assert found["balance"] == [
        {"split": "all", "label": label, "before": {"clips": was} | unknown, "after": {"clips": now} | unknown}
        for label, was, now in (("", 0, 1), ("harmful", 2, 1), ("safe", 2, 2))
    ]
    assert not found.keys() & {"labels", "files", "groups", "folds", "train"}


def test_a_table_that_lacks_is_known_from_one_that_is_empty() -> None:
    assert parse(OLDER).lacks == {
        "clips.file", "clips.group", "clips.duration_s", "labels", "groups", "folds", "train.times", "train.why",
        "rejects.label", "rejects.detail",
        *(f"reviews.{column}" for column in ("seconds", "shown", "note", "annotation_id", "annotation_utc")),
    }  # fmt: skip
    assert "folds" not in parse({"folds": "clip_id,fold\n"}).lacks


def test_two_annotations_of_one_second_are_two_answers() -> None:
    columns = "clip_id,annotator,reviewed_utc,annotation_id,answer\n"
    both = columns + "c1,ann,2026-01-01T00:00:00Z,7,safe\nc1,ann,2026-01-01T00:00:00Z,8,safe\n"
    found = diff(parse(BEFORE | {"reviews": columns}), parse(BEFORE | {"reviews": both}))["answers"]
    assert [answer["annotation_id"] for answer in found["added"]] == ["7", "8"]
    with pytest.raises(ValueError, match="stands twice"):
        parse(BEFORE | {"reviews": both.replace(",8,", ",7,")})


def test_the_worst_case_of_changed_clips_is_among_the_metrics() -> None:
    worst = ({"axis": "snr_db", "value": value, "low": 0.25, "high": 0.5} for value in (0.25, 0.5))
    shifts = (json.dumps({"cnn": {"worst": one}}) for one in worst)
    old, new = (parse(BEFORE | {"shifts": text}) for text in shifts)
    assert diff(old, new)["metrics"] == {
        "cnn": {
            "worst_case": {
                "before": {"value": 0.25, "low": 0.25, "high": 0.5},
                "after": {"value": 0.5, "low": 0.25, "high": 0.5},
                "difference": 0.25,
            }
        }
    }


clip_ids = st.sampled_from(["c1", "c2", "c3"])
words = st.sampled_from(["", "safe", "harmful", 'a,"b"', "<x>|`"])
leaves = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1, 1) | words | st.lists(st.integers(), max_size=2)
keys = st.sampled_from(["value", "low", "m", "n"])
nested = st.recursive(leaves, lambda inner: st.dictionaries(keys, inner, max_size=3))


@st.composite
def revisions(draw: st.DrawFn) -> dict[str, str | None]:
    def table(columns: str, *cells: st.SearchStrategy[str]) -> str:
        keyed = draw(st.dictionaries(clip_ids, st.tuples(*cells), max_size=3))
        quoted = ([key, *(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row)] for key, row in keyed.items())
        return "\n".join([columns, *map(",".join, quoted)])

    seconds, numbers = st.sampled_from(["", "1.5", "8"]), st.sampled_from(["0", "1", "2"])
    return {
        "clips": table("clip_id,label,group,duration_s", words, words, seconds),
        "labels": draw(st.none() | st.just(table("clip_id,label,origin", words, words))),
        "rejects": table("file,start_s,reason", numbers, words),
        "folds": table("clip_id,fold", numbers),
        "train": table("clip_id,times,why", numbers, words),
        "metrics": json.dumps(draw(st.dictionaries(st.sampled_from(["cnn", "w2v"]), nested, max_size=2))),
        "params": json.dumps(draw(st.dictionaries(st.sampled_from(["split", "flag"]), nested, max_size=2))),
    }


@settings(max_examples=20)
@given(revisions(), revisions())
def test_nothing_differs_from_itself_and_both_directions_agree(
    one: dict[str, str | None], other: dict[str, str | None]
) -> None:
    assert diff(parse(one), parse(one)) == {}
    there, back = diff(parse(one), parse(other)), swapped(diff(parse(other), parse(one)))
    for label in (*there.get("labels", []), *back.get("labels", [])):
        del label["file"], label["fold"]  # are those of the later revision
    for moved in (*there.get("folds", []), *back.get("folds", [])):
        del moved["file"]
    assert there == back


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("clips", "id\nc1\n", "clips: the table has no column 'clip_id'"),
        ("clips", "clip_id,duration_s\nc1,nan\n", "clips: `duration_s` is 'nan', not a number"),
        ("labels", "clip_id,label\na\n", "labels: CSV parse error: Expected 2 columns, got 1"),
        ("folds", "clip_id,fold\nc1,0\nc1,1\n", "folds: clip_id ('c1',) stands twice"),
        ("reviews", "clip_id,annotator,reviewed_utc\nc1,a,soon\n", "reviews: `reviewed_utc` is 'soon', not a time"),
        ("metrics", "{", "metrics: "),
        ("metrics", '{"cnn": NaN}', "metrics: NaN is no number"),
        ("metrics", "[1]", "metrics: expected keys with values, not [1]"),
        ("params", "a: [", "params: "),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(name: str, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse(NOTHING | {name: text})
