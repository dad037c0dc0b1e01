import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curation.changes import ANSWERS, LIMIT, ROWS, markdown
from curation.markdown import code
from curation.section import UNFOLDED
from curation.verdict import Changes, verdict

ANSWER = {"clip_id": "c2", "annotator": "ann", "answer": "safe", "shown": "blind", "reviewed_utc": "2026-01-01"}
SIZE = {"clips": 1, "minutes": 1.5, "groups": 1}
CHANGES: dict[str, Any] = {
    "clips": {
        "added": [{"clip_id": "c5", "file": "e.wav", "label": "", "group": "g5", "fold": "0"}],
        "removed": [{"clip_id": "c4", "file": "d.wav", "label": "harmful", "group": "g4", "fold": "1"}],
    },
    "labels": [
        {
            "clip_id": clip_id,
            "file": "a.wav",
            "fold": "-1",
            "before": {"label": before, "origin": "given"},
            "after": {"label": "safe", "origin": "review"},
            "answers": answers,
        }
        for clip_id, before, answers in (("c1", "safe", []), ("c2", "harmful", [ANSWER]))
    ],
    "answers": {"added": [ANSWER], "removed": [ANSWER | {"answer": "harmful"}]},
    "agreement": {
        when: {"clips": 1, "agreeing_pairs": share, "alpha": None, "given_blind": 0.5, "given_hinted": 1.0}
        for when, share in (("before", None), ("after", 0.25))
    },
    "rejects": {
        "added": [
            {"file": "d.wav", "start_s": "0", "label": "harmful", "reason": "truncated", "detail": "It ends early."}
        ]
    },
    "balance": [{"split": "test", "label": "", "before": SIZE, "after": SIZE | {"clips": 2}}],
    "groups": [{"clip_id": "c2", "file": "b.wav", "before": "g2", "after": "g9"}],
    "folds": [{"clip_id": "c2", "file": "b.wav", "before": "1", "after": "-1"}],
    "train": [{"clip_id": "c1", "file": "a.wav", "before": "used", "after": "flagged"}],
    "metrics": {
        "cnn": {
            "collapsed": {"before": {"value": 0}, "after": {"value": 1}, "difference": 1},
            "at_chance": {"before": {"value": 0}, "after": {"value": 1}, "difference": 1},
            "faults": {
                "before": {"value": []}, "after": {"value": ["says `safe` for 95%", "all alike"]}, "difference": None
            },
            "balanced_accuracy": {
                "before": {"value": 0.7, "low": 0.6, "high": 0.8},
                "after": {"value": 0.5, "low": 0.5, "high": 0.5},
                "difference": -0.2,
            },
            "f1.safe": {"before": None, "after": {"value": 1}, "difference": None},
        },
        "w2v": {"at_chance": {"before": {"value": 1}, "after": {"value": 0}, "difference": -1}},
        "x": {"at_chance": {"before": None, "after": {"value": 1}, "difference": None}},
    },
    "judged": {
        "added": [{"clip_id": "c5", "file": "e.wav", "label": "safe", "why": "not there"}],
        "removed": [
            {"clip_id": "c4", "file": "d.wav", "label": "harmful", "why": "not there"},
            *({"clip_id": f"c{n}", "file": "g.wav", "label": "safe", "why": "bad_audio"} for n in (6, 7)),
        ],
    },
    "params": {"split.folds": {"before": 5, "after": 4}},
    "comparison": {
        "cnn": {
            "clips": 40,
            "groups": 30,
            "metrics": {
                "balanced_accuracy": {
                    "before": 0.75, "after": 0.5, "difference": -0.25, "low": -0.3, "high": -0.1, "p": 0.01
                },
                "brier": {"before": 0.5, "after": 0.25, "difference": -0.25, "low": -0.3, "high": -0.1, "p": 0.01},
            },
            "refolded": 1,
            "relabelled": 1,
            "by_old_labels": {
                "balanced_accuracy": {
                    "before": 0.5, "after": 0.75, "difference": 0.25, "low": 0.1, "high": 0.3, "p": 0.02
                },
                "brier": {"before": 0.5, "after": 0.25, "difference": -0.25, "low": -0.3, "high": 0.1, "p": 0.1},
            },
            "attribution": {
                "balanced_accuracy": {
                    "before": {"before": 0.5, "after": 0.75}, "after": {"before": 0.75, "after": 0.5}
                },
                "mcc": {"before": {"before": 0.5, "after": 0.25}, "after": {"before": 0.75, "after": None}},
            },
        }
    },
}  # fmt: skip
COMMENT = (Path(__file__).parent / "changes.md").read_text(encoding="utf-8")


def test_every_kind_of_change_has_its_section() -> None:
    assert markdown(CHANGES, before="main", after="fix", notes=["Something lacks."]) + "\n" == COMMENT


def test_nothing_changed_is_one_line() -> None:
    assert markdown({}, before="v1", after="v2") == "**Nothing changed.** From `v1` to `v2`: nothing changed."


def added(count: int, file: str = "a.wav") -> str:
    clips = [{"clip_id": f"c{number:02}", "file": file, "label": "safe"} for number in range(count)]
    return markdown({"clips": {"added": clips}}, before="v1", after="v2")


def test_long_lists_are_folded_and_longer_ones_cut_and_counted() -> None:
    assert "<details>" not in added(UNFOLDED)
    assert f"\n\n<details><summary>Clips added ({UNFOLDED + 1})</summary>\n\n| clip_id | " in added(UNFOLDED + 1)
    shown = ROWS[0]
    assert "more; `--json`" not in added(shown)
    cut = added(shown + 5)
    assert cut.endswith("\n\nand 5 more; `--json` has them all\n\n</details>")
    assert (f"`c{shown - 1:02}`" in cut, f"`c{shown:02}`" in cut) == (True, False)


def test_what_becomes_of_each_model_is_never_folded_however_many_there_are() -> None:
    figure = {"before": {"value": 0.5}, "after": {"value": 0.7}, "difference": 0.2}
    models = {f"m{number}": {"mcc": figure, "f1.safe": figure} for number in range(UNFOLDED + 1)}
    told = markdown({"metrics": models}, before="v1", after="v2")
    assert "\n\n**Models**\n\n| model" in told
    assert f"<summary>Other metrics ({UNFOLDED + 1})</summary>" in told


def asked(count: int, text: str = "a") -> Changes:
    """Return a relabelled clip with so many answers."""
    state = {"label": text, "origin": text}
    answer = {"annotator": text, "answer": text, "shown": text}
    clip = {"clip_id": text, "file": text, "fold": text, "before": state, "after": state | {"label": "b"}}
    return clip | {"answers": [answer] * count}


def test_of_many_answers_the_first_are_shown_and_all_counted() -> None:
    text = markdown({"labels": [asked(80), *[asked(1)] * 19]}, before="v1", after="v2")
    assert f"| 80       | {', '.join(['`a` by `a` `a`'] * ANSWERS)}, and {80 - ANSWERS} more |" in text
    assert "<summary>Clips relabelled (20)</summary>" in text
    assert "Left out" not in text


hostile = st.text(alphabet="a`|\u202e<", min_size=1, max_size=300)


@settings(max_examples=50)
@example("`" * 300, 30, 100, 30)
@example("\u202e" * 30 + "`" * 50, 30, 100, 30)
@given(hostile, st.integers(1, 30), st.integers(0, 100), st.integers(0, 30))
def test_the_relabelled_clips_are_told_whatever_else_there_is_and_the_limit_is_kept(
    text: str, clips: int, answers: int, models: int
) -> None:
    figures = {"before": 0.5, "after": 0.5, "difference": 0.0, "low": 0.0, "high": 0.1, "p": 0.5}
    attribution = {"balanced_accuracy": {when: {"before": 0.1, "after": 0.2} for when in ("before", "after")}}
    metrics = {f"m{number}.{text}": figures for number in range(30)} | {"balanced_accuracy": figures}
    found = {"clips": 1, "groups": 1, "metrics": metrics, "by_old_labels": metrics, "attribution": attribution}
    row = dict.fromkeys(
        ("clip_id", "file", "label", "group", "fold", "start_s", "reason", "detail", "before", "after"), text
    )
    changes = {
        "labels": [asked(answers, text)] * clips,
        "clips": {"added": [row] * 30, "removed": [row] * 30},
        "folds": [row] * 30,
        "groups": [row] * 30,
        "comparison": {f"{number}{text}": found for number in range(models)},
        "params": {f"{number}{text}": {"before": text, "after": text} for number in range(30)},
    }
    notes = [code(text)] * models
    said = markdown(changes, before=text, after=text, notes=notes)
    assert len(said) <= LIMIT
    assert f"Clips relabelled ({clips})" in said or (clips <= UNFOLDED and "**Clips relabelled**" in said)


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"difference": 0.1, "low": 0.01, "high": 0.2, "p": 0.02}, "better"),
        ({"difference": -0.1, "low": -0.2, "high": -0.01, "p": 0.02}, "worse"),
        ({"difference": 0.1, "low": 0.01, "high": 0.2, "p": 0.06}, "may be noise"),
        ({"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}, "the same"),
        ({"difference": 0.1, "low": None, "high": None, "p": None}, "too few groups to tell"),
    ],
)
def test_the_verdict_says_in_words_whether_a_difference_is_more_than_noise(figures: Changes, words: str) -> None:
    changes = {"comparison": {"cnn": {"clips": 9, "groups": 9, "metrics": {"balanced_accuracy": figures}}}}
    assert verdict(changes) == f"Balanced accuracy on the same clips: `cnn` {words}."


def test_the_longest_texts_make_no_longer_comment_than_a_server_takes_and_say_what_is_left_out() -> None:
    long = "`" * 9999
    row = dict.fromkeys(("clip_id", "file", "label", "group", "fold", "start_s", "reason", "detail"), long)
    changes = {
        "clips": {"added": [row] * 99, "removed": [row] * 99},
        "rejects": {"added": [row] * 99, "removed": [row] * 99},
        "params": {f"{number}{long}": {"before": long, "after": long} for number in range(99)},
    }
    text = markdown(changes, before=long, after=long)
    assert 30_000 < len(text) < LIMIT
    assert "<details><summary>Clips added (99)</summary>" in text
    assert text.endswith(
        "Left out for length: Newly rejected, No longer rejected, Params. `earmark diff --json` has all."
    )


def replaced(value: Any, text: str) -> Any:
    """Return changes whose every text, models and params included, is `text`."""
    fixed = {"before", "after", "balanced_accuracy", "brier", "mcc"}
    if isinstance(value, list):
        return [replaced(item, text) for item in value]
    if isinstance(value, dict):
        inner = {"cnn", "f1.safe", "split.folds"}
        return {text if key in inner else key: replaced(item, text) for key, item in value.items()}
    return text if isinstance(value, str) and value not in fixed | {"test"} else value


def test_text_of_the_data_has_no_effect_wherever_it_stands() -> None:
    evil = "</details><script>x</script>|`@you\n# \u202e"
    shown = r"`` </details><script>x</script>\u007c`@you\u000a# \u202e ``"
    text = markdown(replaced(CHANGES, evil), before=evil, after=evil)
    assert text.count(shown) > 30
    escaped_again = text.replace(shown, "").replace(r"\u007c", "")
    outside_code = re.sub(r"(`+).*?(?<!`)\1(?!`)", "", escaped_again)
    assert not set("<>`@\u202e") & set(outside_code)
