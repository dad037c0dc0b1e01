import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import cli
from curation.diff import diff
from curation.snapshot import parse

BEFORE = {
    "clips": "clip_id,file,duration_s,label,group\n"
    "c1,a.wav,60,safe,g1\nc2,b.wav,30,harmful,g2\nc3,c.wav,30,safe,g2\nc4,d.wav,60,harmful,g3\n",
    "labels": "clip_id,label,origin\nc1,safe,given\nc2,harmful,given\nc3,safe,given\nc4,harmful,given\n",
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
    "rejects": "file,start_s,label,reason,detail\nd.wav,0,harmful,truncated,It ends early.\n",
    "folds": "clip_id,fold\nc1,0\nc2,-1\nc3,2\nc5,0\n",
    "train": "clip_id,times,why\nc1,4,repeated\nc3,0,flagged\n",
    "metrics": '{"cnn": {"clips": 4, "collapsed": 1,'
    ' "mcc": {"value": 0.375, "low": 0.2, "high": 0.6, "majority": 0}, "recall": {"safe": {"value": 0.5}}},'
    ' "new": {"mcc": 1}}',
    "params": "split: {folds: 4, salt: earmark}\ndata: {classes: [harmful, safe]}\nfeatures: {mels: 64}\n",
}
CHANGES: dict[str, Any] = {
    "clips": {
        "added": [{"clip_id": "c5", "file": "e.wav", "label": ""}],
        "removed": [{"clip_id": "c4", "file": "d.wav", "label": "harmful"}],
    },
    "labels": [
        {
            "clip_id": "c1",
            "file": "a.wav",
            "before": {"label": "safe", "origin": "given"},
            "after": {"label": "safe", "origin": "review"},
        },
        {
            "clip_id": "c2",
            "file": "b.wav",
            "before": {"label": "harmful", "origin": "given"},
            "after": {"label": "safe", "origin": "review"},
        },
    ],
    "rejects": {
        "added": [
            {"file": "d.wav", "start_s": "0", "label": "harmful", "reason": "truncated", "detail": "It ends early."}
        ],
        "removed": [{"file": "x.wav", "start_s": "0", "label": "safe", "reason": "silent", "detail": "Nothing in it."}],
    },
    "balance": {
        "": {"before": {"clips": 0, "minutes": 0.0, "groups": 0}, "after": {"clips": 1, "minutes": 1.5, "groups": 1}},
        "harmful": {
            "before": {"clips": 2, "minutes": 1.5, "groups": 2},
            "after": {"clips": 0, "minutes": 0.0, "groups": 0},
        },
        "safe": {
            "before": {"clips": 2, "minutes": 1.5, "groups": 2},
            "after": {"clips": 3, "minutes": 2.0, "groups": 3},
        },
    },
    "sources": [
        {
            "clip_id": "c2",
            "file": "b.wav",
            "before": {"file": "b.wav", "group": "g2"},
            "after": {"file": "b.wav", "group": "g9"},
        }
    ],
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
NOTHING = dict.fromkeys(BEFORE)


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
    assert diff(parse(AFTER), parse(BEFORE)) == swapped(CHANGES)


def test_a_revision_without_any_file_is_as_one_without_clips() -> None:
    assert diff(parse(NOTHING), parse(NOTHING)) == {}
    found = diff(parse(NOTHING), parse(BEFORE))
    assert [clip["clip_id"] for clip in found["clips"]["added"]] == ["c1", "c2", "c3", "c4"]
    assert found["metrics"]["old"] == {"mcc": {"before": None, "after": {"value": 0.5}, "difference": None}}
    assert found.keys() == {"clips", "rejects", "balance", "metrics", "params"}


def test_tables_of_an_older_layout_are_compared_by_what_they_share() -> None:
    older = BEFORE | {"clips": "clip_id,label\nc1,safe\n", "labels": None, "train": "clip_id\nc1\n"}
    assert diff(parse(older), parse(older)) == {}


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


@settings(max_examples=40, deadline=None)  # of machines that do other things as well
@given(revisions(), revisions())
def test_nothing_differs_from_itself_and_both_directions_agree(
    one: dict[str, str | None], other: dict[str, str | None]
) -> None:
    assert diff(parse(one), parse(one)) == {}
    assert diff(parse(other), parse(one)) == swapped(diff(parse(one), parse(other)))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("clips", "id\nc1\n", "clips: the table has no column 'clip_id'"),
        ("clips", "clip_id,duration_s\nc1,nan\n", "clips: `duration_s` is 'nan', not a number"),
        ("labels", 'clip_id\n"a"b\n', "labels: "),
        ("metrics", "{", "metrics: "),
        ("metrics", '{"cnn": NaN}', "metrics: NaN is no number"),
        ("metrics", "[1]", "metrics: expected keys with values, not [1]"),
        ("params", "a: [", "params: "),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(name: str, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse(NOTHING | {name: text})


PATHS = {name: f"data/{name}.csv" for name in ("clips", "labels", "rejects", "folds", "train")} | {
    "metrics": "reports/metrics.json",
    "params": "params.yaml",
}


def write(texts: dict[str, str]) -> None:
    for name, text in texts.items():
        path = Path(PATHS[name])
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


@pytest.fixture
def branch(repository: Path) -> Path:
    """Return a repository with BEFORE on `main`, and AFTER in the workspace of the branch `fix`."""
    write(BEFORE)
    git("add", "--all")
    git("commit", "--message", "Before")
    git("switch", "--create", "fix")
    write(AFTER)
    return repository


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, ["diff", *arguments], catch_exceptions=False)


@pytest.mark.usefixtures("branch")
def test_without_revisions_the_workspace_is_compared_with_where_the_branch_left_main() -> None:
    assert json.loads(run("--json").output) == CHANGES


@pytest.mark.usefixtures("branch")
def test_two_revisions_are_compared_whatever_the_workspace_holds() -> None:
    git("commit", "--all", "--message", "After")
    write(BEFORE)
    assert json.loads(run("--json", "main", "fix").output) == CHANGES
    assert json.loads(run("--json", "fix", "main").output) == swapped(CHANGES)
    assert run("main").output == "**From `main` to `the files here`:** nothing changed.\n"


@pytest.mark.usefixtures("branch")
def test_the_exit_code_tells_a_change_only_when_asked() -> None:
    assert [run().exit_code, run("--exit-code").exit_code, run("--exit-code", "main", "main").exit_code] == [0, 1, 0]


@pytest.mark.usefixtures("branch")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["v9"], "git has no revision 'v9' here. Branches and tags: fix, main."),
        (["--", "--json"], "git has no revision '--json' here."),
    ],
)
def test_a_revision_that_is_not_there_exits_with_2_and_one_line(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.output.startswith("Error: ")
    assert said in result.output
    assert result.output.count("\n") == 1


def test_a_folder_without_the_files_is_refused(branch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(branch / "reports")
    result = run()
    assert result.exit_code == 2
    assert "has none of data/clips.csv, data/labels.csv" in result.output
    assert "Run this in the folder of dvc.yaml, and name a revision that has them." in result.output


@pytest.mark.usefixtures("branch")
def test_a_table_that_cannot_be_read_is_named_with_its_revision() -> None:
    Path("data/clips.csv").write_text("id\n1\n")
    git("commit", "--all", "--message", "Break")
    said = "Error: data/clips.csv of HEAD cannot be read: the table has no column 'clip_id'."
    assert run("HEAD").output.startswith(said)
