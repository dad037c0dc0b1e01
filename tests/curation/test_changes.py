import re

from curation.changes import SHOWN, UNFOLDED, markdown
from curation.diff import diff
from curation.snapshot import parse

CLIPS = "clip_id,file,duration_s,label,group\n"
BEFORE = {
    "clips": CLIPS + "c1,a.wav,60,safe,g1\nc2,b.wav,30,harmful,g2\nc4,d.wav,60,harmful,g3\n",
    "labels": "clip_id,label,origin\nc1,safe,given\nc2,harmful,given\nc4,harmful,given\n",
    "rejects": None,
    "folds": "clip_id,fold\nc1,0\nc2,1\nc4,0\n",
    "train": "clip_id,times,why\nc1,1,kept\nc2,1,kept\nc4,1,kept\n",
    "metrics": '{"cnn": {"collapsed": 0, "balanced_accuracy": {"value": 0.7, "low": 0.6, "high": 0.8}}}',
    "params": "split: {folds: 5}\n",
}
AFTER = {
    "clips": CLIPS + "c1,a.wav,60,safe,g1\nc2,b.wav,30,harmful,g2\nc5,e.wav,90,,g5\n",
    "labels": "clip_id,label,origin\nc1,safe,review\nc2,safe,review\nc5,,none\n",
    "rejects": "file,start_s,label,reason,detail\nd.wav,0,harmful,truncated,It ends early.\n",
    "folds": "clip_id,fold\nc1,0\nc2,-1\nc5,0\n",
    "train": "clip_id,times,why\nc1,0,flagged\nc2,1,kept\n",
    "metrics": '{"cnn": {"collapsed": 1, "balanced_accuracy": {"value": 0.5, "low": 0.5, "high": 0.5}, "f1": 1}}',
    "params": "split: {folds: 4}\n",
}
VERDICT = (
    "**From `main` to `fix`:** clips: 1 added, 1 removed, 1 relabelled, "
    "1 with their label from elsewhere, 1 newly rejected, 1 in another fold, 1 newly in or out of training; "
    "params: 1 changed; "
    "`cnn` collapsed `0` → `1`; "
    "`cnn` balanced_accuracy 0.700 [0.600, 0.800] → 0.500 [0.500, 0.500]."
)
SECTIONS = """\
**Clips added**

| clip_id | file    | label |
| ------- | ------- | ----- |
| `c5`    | `e.wav` | -     |

**Clips removed**

| clip_id | file    | label     |
| ------- | ------- | --------- |
| `c4`    | `d.wav` | `harmful` |

**Clips relabelled**

| clip_id | file    | before            | after           |
| ------- | ------- | ----------------- | --------------- |
| `c2`    | `b.wav` | `harmful` `given` | `safe` `review` |

**Clips with their label from elsewhere**

| clip_id | file    | before         | after           |
| ------- | ------- | -------------- | --------------- |
| `c1`    | `a.wav` | `safe` `given` | `safe` `review` |

**Newly rejected**

| file    | start_s | label     | reason      | detail           |
| ------- | ------- | --------- | ----------- | ---------------- |
| `d.wav` | `0`     | `harmful` | `truncated` | `It ends early.` |

**Class balance**

| label        | clips | minutes | groups |
| ------------ | ----- | ------- | ------ |
| not labelled | 0 → 1 | 0 → 1.5 | 0 → 1  |
| `harmful`    | 2 → 0 | 1.5 → 0 | 2 → 0  |
| `safe`       | 1 → 2 | 1 → 1.5 | 1 → 2  |

**Clips in another fold**

| clip_id | file    | before | after |
| ------- | ------- | ------ | ----- |
| `c2`    | `b.wav` | `1`    | `-1`  |

**Clips newly in or out of training**

| clip_id | file    | before | after     |
| ------- | ------- | ------ | --------- |
| `c1`    | `a.wav` | `used` | `flagged` |

**Metrics**

| model | metric              | before               | after                | difference |
| ----- | ------------------- | -------------------- | -------------------- | ---------- |
| `cnn` | `collapsed`         | `0`                  | `1`                  | +1         |
| `cnn` | `balanced_accuracy` | 0.700 [0.600, 0.800] | 0.500 [0.500, 0.500] | -0.2       |
| `cnn` | `f1`                | -                    | `1`                  | -          |

**Params**

| key           | before | after |
| ------------- | ------ | ----- |
| `split.folds` | `5`    | `4`   |"""


def test_every_kind_of_change_has_its_section() -> None:
    assert markdown(diff(parse(BEFORE), parse(AFTER)), before="main", after="fix") == f"{VERDICT}\n\n{SECTIONS}"


def test_nothing_changed_is_one_line() -> None:
    assert markdown({}, before="v1", after="v2") == "**From `v1` to `v2`:** nothing changed."


def added(count: int, file: str = "a.wav") -> str:
    clips = [{"clip_id": f"c{number:02}", "file": file, "label": "safe"} for number in range(count)]
    return markdown({"clips": {"added": clips}}, before="v1", after="v2")


def test_long_lists_are_folded_and_longer_ones_cut_and_counted() -> None:
    assert "<details>" not in added(UNFOLDED)
    assert f"\n\n<details><summary>Clips added ({UNFOLDED + 1})</summary>\n\n| clip_id | " in added(UNFOLDED + 1)
    assert "more; `--json`" not in added(SHOWN)
    cut = added(SHOWN + 5)
    assert cut.endswith("\n\nand 5 more; `--json` has them all\n\n</details>")
    assert (f"`c{SHOWN - 1:02}`" in cut, f"`c{SHOWN:02}`" in cut) == (True, False)


def test_text_of_the_data_has_no_effect_wherever_it_stands() -> None:
    evil = "</details><script>x</script>|`@you\n# \u202e"
    shown = r"`` </details><script>x</script>\u007c`@you\u000a# \u202e ``"
    row = {"clip_id": evil, "file": evil, "label": evil, "start_s": evil, "reason": evil, "detail": evil}
    moved = {"clip_id": evil, "file": evil, "before": evil, "after": evil}
    states = {"before": {"label": evil, "origin": evil}, "after": {"label": "", "origin": evil}}
    size = {"clips": 1, "minutes": 1.0, "groups": 1}
    text = markdown(
        {
            "clips": {"added": [row], "removed": [row]},
            "labels": [moved | states],
            "rejects": {"added": [row], "removed": [row]},
            "balance": {evil: {"before": size, "after": size}},
            "sources": [moved | {"before": {"file": evil, "group": evil}, "after": {"file": evil, "group": evil}}],
            "folds": [moved],
            "train": [moved],
            "metrics": {evil: {evil: {"before": {"value": evil}, "after": {"value": [evil]}, "difference": None}}},
            "params": {evil: {"before": evil, "after": {evil: evil}}},
        },
        before=evil,
        after=evil,
    )
    assert text.count(shown) > 30
    escaped_again = text.replace(shown, "").replace(r"\u007c", "")
    outside_code = re.sub(r"(`+).*?(?<!`)\1(?!`)", "", escaped_again)
    assert not set("<>`@\u202e") & set(outside_code)
