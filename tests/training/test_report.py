import dataclasses
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import rows
from click.testing import CliRunner

from curation import tables
from training import report

CLASSES = ("harmful", "safe")
GOLDEN = Path(__file__).with_name("report.md")
SIX = {"c1": "harmful", "c2": "harmful", "c3": "harmful", "c4": "safe", "c5": "safe", "c6": ""}


def figure(value: float, low: float | None, high: float | None, **baselines: float) -> dict[str, float | None]:
    return {"value": value, "low": low, "high": high, "majority": 0.5} | baselines


HEALTHY = {
    "clips": 5,
    "groups": 4,
    "balanced_accuracy": figure(0.83, 0.6, 1.0),
    "mcc": figure(0.67, 0.2, 1.0, majority=0.0),
    "roc_auc": figure(0.92, 0.7, 1.0),
    "recall": {
        "harmful": figure(0.67, 0.3, 0.9, majority=1.0, minority=0.0),
        "safe": figure(1.0, 1.0, 1.0, majority=0.0, minority=1.0),
    },
    "f1": {
        "harmful": figure(0.8, 0.5, 1.0, majority=0.75, minority=0.0),
        "safe": figure(0.8, 0.4, 1.0, majority=0.0, minority=0.57),
    },
    "score_std": 0.3,
    "collapsed": 0,
    "at_chance": 0,
    "faults": [],
}
COLLAPSED = HEALTHY | {
    "balanced_accuracy": figure(0.5, 0.5, 0.5),
    "mcc": figure(0.0, 0.0, 0.0, majority=0.0),
    "roc_auc": figure(0.5, None, None),
    "score_std": 0.001,
    "collapsed": 1,
    "at_chance": 1,
    "faults": ["says 'harmful' for 5 of 5 clips"],
}


@pytest.fixture
def found() -> report.Findings:
    clips = [
        {"clip_id": clip, "file": f"{clip}.wav", "duration_s": 30.0, "padded_s": 3.0, "label": label}
        for clip, label in SIX.items()
    ]
    rejects = [
        {"file": "hush|.wav", "reason": "silent", "detail": "below -60 dBFS throughout <b>"},
        {"file": "void.wav", "reason": "empty", "detail": "no sample"},
        {"file": "zero.wav", "reason": "silent", "detail": "below -60 dBFS throughout"},
    ]
    train = [
        {"clip_id": clip, "label": label, "times": times, "why": why}
        for (clip, label), times, why in zip(
            SIX.items(), (1, 1, 1, 1, 2, 0), ("kept",) * 4 + ("repeated", "unlabelled"), strict=True
        )
    ]
    flags = [("c1", "label"), ("c2", "label"), ("c2", "noisy")]
    return report.Findings(
        clips=rows.table(tables.CLIPS, *clips),
        rejects=rows.table(tables.REJECTS, *rejects),
        labels=rows.labelled(tables.LABELS, **SIX),
        groups=rows.table(tables.GROUPS, *({"clip_id": clip, "group": min(clip, "c5")} for clip in SIX)),
        folds=rows.table(tables.FOLDS, *({"clip_id": clip, "fold": i % 3} for i, clip in enumerate(SIX))),
        flags=rows.table(tables.FLAGS, *({"clip_id": clip, "reason": reason} for clip, reason in flags)),
        shortcuts=rows.table(
            tables.SHORTCUTS,
            {"measure": "all", "auc": 0.9, "chance_auc": 0.7},
            {"measure": "codec", "auc": 0.65, "chance_auc": 0.7},
        ),
        queue=rows.table(
            tables.QUEUE,
            {"clip_id": "c1", "rank": 1, "reason": "suspect"},
            {"clip_id": "c6", "rank": 2, "reason": "unlabelled"},
        ),
        train=rows.table(tables.TRAIN, *train),
        flagging={"label_issues": "found", "why": ""},
        metrics={"lite_cnn": HEALTHY, "wav2vec2": COLLAPSED},
    )


def steps(found: report.Findings) -> list[str]:
    return report.report(found, CLASSES).partition("## Where to look next\n\n")[2].splitlines()


def test_the_page_is_the_golden_one(found: report.Findings) -> None:
    assert report.report(found, CLASSES) == GOLDEN.read_text(encoding="utf-8")


def test_the_page_fits_on_a_screen(found: report.Findings) -> None:
    page = report.report(found, CLASSES)
    assert len(page.splitlines()) <= 45


def test_a_shortcut_that_is_no_luck_is_named_with_its_clips(found: report.Findings) -> None:
    codec = {"measure": "codec", "auc": 0.81, "chance_auc": 0.7, "where": "codec mp3", "clips": 4, "share": 0.75}
    shortcuts = rows.table(
        tables.SHORTCUTS, {"measure": "all", "auc": 0.9, "chance_auc": 0.7}, codec | {"label": "safe"}
    )
    named = [step for step in steps(dataclasses.replace(found, shortcuts=shortcuts)) if "tells the label" in step]
    assert len(named) == 1
    assert (
        "`codec` alone tells the label (AUC 0.81; luck reaches 0.70): of 4 clips with `codec mp3` 75% are `safe`"
        in named[0]
    )


def test_a_refusal_to_doubt_labels_comes_first_with_its_reason(found: report.Findings) -> None:
    refused = {"label_issues": "refused", "why": "no better than chance: AUC 0.51"}
    first = steps(dataclasses.replace(found, flagging=refused))[0]
    assert first == "1. No label was doubted, because the scores were not sound: `no better than chance: AUC 0.51`."


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"score_std": 0.01}, "`m` scores all clips nearly alike"),
        ({"score_std": 0.2}, "`m` has not learned the labels"),
        ({"score_std": 0.2, "at_chance": 0}, "`m` says one class, though its order is useful (AUC 0.50)"),
        ({"collapsed": 0, "at_chance": 0}, "`m` may be no better than saying one class"),
        ({"collapsed": 0, "at_chance": 0, "balanced_accuracy": figure(0.7, None, None)}, "`m` may be no better"),
    ],
)
def test_each_ill_of_a_model_has_its_remedy(found: report.Findings, change: dict[str, object], advice: str) -> None:
    assert any(advice in step for step in steps(dataclasses.replace(found, metrics={"m": COLLAPSED | change})))


def test_a_healthy_model_with_narrow_intervals_leaves_little_to_do(found: report.Findings) -> None:
    narrow = {label: figure(0.9, 0.85, 0.95) | ends for label, ends in zip(CLASSES, BASELINES, strict=True)}
    calm = dataclasses.replace(
        found,
        metrics={"m": HEALTHY | {"recall": narrow}},
        rejects=found.rejects.head(0),
        queue=found.queue.head(0),
    )
    assert steps(calm) == ["1. Run `earmark gate`: it passes or fails the models by the bounds in params.yaml."]
    assert "- rejected: 0\n" in report.report(calm, CLASSES)


BASELINES = ({"majority": 1.0, "minority": 0.0}, {"majority": 0.0, "minority": 1.0})


def test_there_are_at_most_five_steps(found: report.Findings) -> None:
    many = {f"m{i}": COLLAPSED for i in range(9)}
    assert len(steps(dataclasses.replace(found, metrics=many))) == 5


def test_a_test_fold_is_named_as_the_judge(found: report.Findings) -> None:
    folds = found.folds.assign(fold=[-1, 0, 1, 2, -1, 0])
    page = report.report(dataclasses.replace(found, folds=folds), CLASSES)
    assert "- kept for the test: 2 clips\n" in page
    assert "- judged by the test fold: 5 clips in 4 groups\n" in page


def test_the_stage_writes_the_page(found: report.Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(rows.PARAMS, "params.yaml")
    arguments = ["--flagging", "flagging.json", "--metrics", "metrics.json", "--out", "reports/insights.md"]
    for name, value in vars(found).items():
        if isinstance(value, pd.DataFrame):
            tables.write(value, Path(f"{name}.csv"), getattr(tables, name.upper()))
            arguments += [f"--{name}", f"{name}.csv"]
        else:
            Path(f"{name}.json").write_text(json.dumps(value))
    result = CliRunner().invoke(report.main, arguments, catch_exceptions=False)
    assert result.output == "report: reports/insights.md\n"
    assert Path("reports/insights.md").read_bytes() == GOLDEN.read_bytes()
    Path("flagging.json").write_text("{}")
    assert "['label_issues', 'why']" in CliRunner().invoke(report.main, arguments).output
    Path("metrics.json").unlink()
    Path("flagging.json").write_text('{"label_issues": "found", "why": ""}')
    assert "metrics.json does not exist" in CliRunner().invoke(report.main, arguments).output
