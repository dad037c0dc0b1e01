"""What the README promises of whole corpora: planted faults are found, and a model learns from real recordings."""

import json
import time
from pathlib import Path

import corpus
import pandas as pd
import pytest
from project import begin, commit, run

from curation import listing, tables
from curation.sample_score import REJECTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ONLY_TRUE = ("clipped", "dc_offset", "dead_channel", "inverted_channel", "mostly_silent")  # what one measure decides
ALSO_OTHERS = ("low_bandwidth", "noisy")


def test_what_is_planted_in_the_sample_is_found(tmp_path: Path) -> None:
    project = tmp_path / "the sample"
    begin(project)
    run(project, "earmark", "sample")
    run(project, "dvc", "repro", "queue", "shortcuts")
    run(project, "earmark", "sample", "--score", "--json", "score.json")
    found = pd.DataFrame(json.loads((project / "score.json").read_text())).set_index(["table", "finder"])
    print(found.drop(columns="missed"))
    sure = [*(("rejects.csv", reason) for reason in REJECTS), *(("flags.csv", reason) for reason in ONLY_TRUE)]
    assert set(found.loc["rejects.csv"].index) == set(REJECTS)
    assert (found.loc[sure, ["precision", "recall"]] == 1).all(axis=None)
    assert (found.loc["flags.csv"].loc[list(ALSO_OTHERS), "recall"] == 1).all()
    assert found.loc[("groups.csv", "near_duplicate"), "precision"] >= 0.99
    assert found.loc[("groups.csv", "near_duplicate"), "recall"] >= 0.9
    assert found.loc[("flags.csv", "label"), "recall"] >= 0.8
    assert found.loc[("labels.csv", "unlabelled"), ["precision", "recall"]].tolist() == [1, 1]


def test_a_model_learns_from_real_recordings(tmp_path: Path) -> None:
    source, project = corpus.esc10(), tmp_path / "100 recordings"
    begin(project)
    columns = ["--label-column", "label", "--group-column", "recording"]
    run(project, "earmark", "import", str(source / "audio"), "--labels", str(source / "small.csv"), *columns)
    commit(project, "Import")
    began = time.monotonic()
    run(project, "dvc", "repro")
    print(f"{time.monotonic() - began:.0f} s")
    clips = tables.read(project / "data/clips.csv", tables.CLIPS)
    assert len(clips) == len(listing.read_table(source / "small.csv"))
    assert clips["group"].nunique() < len(clips)
    judged = json.loads((project / "reports/metrics.json").read_text())
    models = ("blend", "lite_cnn", "svm", "wav2vec2")
    said = {model: (figures["clips"], figures["collapsed"]) for model, figures in judged.items()}
    assert said == dict.fromkeys(models, (len(clips), 0))
    page = (project / "reports/insights.md").read_text()
    assert all(f"- `{model}`: better than chance." in page for model in models[:3])
