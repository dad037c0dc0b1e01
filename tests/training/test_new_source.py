from collections.abc import Collection

import numpy as np
import pandas as pd
import pytest

from curation import vectors
from training import metrics, robustness, rounds, svm
from training.new_source import new_sources

CLASSES = ("harmful", "safe")
P = svm.Params(penalty=2.5)
SITES = 4
CLIPS = 24  # a site, two a group


def clips(*, own: bool) -> tuple[vectors.Vectors, pd.DataFrame, pd.DataFrame]:
    """Return vectors, clips and their sites; the class is told in a dimension of each site's `own`, or in the same."""
    number = np.arange(SITES * CLIPS)
    site, truth, group = number // CLIPS, number // 2 % 2, number // 2
    points = np.random.default_rng(0).normal(scale=0.3, size=(len(number), 2 * SITES))
    points[number, SITES + site] += 4  # where it was recorded is heard as well
    points[:, :SITES] = 0  # what only another site's clips vary in, nothing is learned of
    points[number, site if own else 0] = 4 * truth - 2
    listed = pd.DataFrame(
        {
            "clip_id": [f"c{n:03}" for n in number],
            "label": np.array(CLASSES)[truth],
            "fold": group // 2 % 3,
            "group": [f"g{n:02}" for n in group],
            "times": 1,
            "weight": 1.0,
        }
    )
    sources = pd.DataFrame({"place": number, "source": [f"site-{n}/" for n in site]})
    return vectors.Vectors(tuple(listed["clip_id"]), {"one": points.astype(np.float32)}), listed, sources


def out_of_fold(x: vectors.Vectors, listed: pd.DataFrame) -> metrics.Outcome:
    """Return what stage `svm` would say of every clip."""
    said = np.empty((len(listed), len(CLASSES)))
    for turn in rounds.rounds(listed, CLASSES, validate=False):
        model = svm.svm(x, listed.iloc[np.unique(turn.draws)], P, classes=CLASSES)
        said[turn.held_out] = svm.predict(model, x.rows(listed["clip_id"].iloc[turn.held_out.numpy()]))
    return metrics.Outcome((listed["label"] == "safe").to_numpy(np.int64), said)


def costs(x: vectors.Vectors, listed: pd.DataFrame, sources: pd.DataFrame) -> pd.DataFrame:
    anew = new_sources(x, listed, listed, sources, P, classes=CLASSES)
    found = robustness.by_new_source(out_of_fold(x, listed), anew, listed["group"].factorize()[0], 200, seed=0)
    return pd.DataFrame(found).set_index("source")


def test_where_each_site_tells_the_class_in_its_own_way_a_new_one_is_at_chance() -> None:
    """Out of fold all is right, for the machines know other clips of the site: no promise for a new one."""
    found = costs(*clips(own=True))
    assert list(found.index) == [f"site-{n}/" for n in range(SITES)]
    assert (found["balanced_accuracy"] - found["change"] == 1).all()
    assert found["balanced_accuracy"].mean() == pytest.approx(0.5, abs=0.15)  # three standard errors
    assert (found["change_high"] < -robustness.LEAST).all()
    assert robustness.loses_elsewhere(robustness.summary_of_new(found.reset_index().to_dict("records")))


def test_where_all_sites_tell_it_the_same_way_a_new_one_costs_nothing() -> None:
    found = costs(*clips(own=False))
    assert (found["balanced_accuracy"] == 1).all()
    assert (found[["change", "change_low", "change_high"]] == 0).all(axis=None)
    assert not robustness.loses_elsewhere(robustness.summary_of_new(found.reset_index().to_dict("records")))


def learned(listed: pd.DataFrame, sources: pd.DataFrame, patch: pytest.MonkeyPatch) -> list[Collection[str]]:
    """Return the clips that each machine has learned from."""
    x, seen, train = clips(own=True)[0], [], svm.svm

    def spy(x: vectors.Vectors, kept: pd.DataFrame, p: svm.Params, *, classes: tuple[str, ...]) -> svm.SVM:
        seen.append(set(kept["clip_id"]))
        return train(x, kept, p, classes=classes)

    patch.setattr("training.svm.svm", spy)
    judged = listed[listed["label"] != ""]
    new_sources(x, listed, judged, sources, P, classes=CLASSES)
    return seen


def test_no_clip_of_the_source_is_learned_from_nor_one_of_its_groups_and_all_others_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, listed, sources = clips(own=True)
    listed.loc[[24, 25], "group"] = "g00"  # two clips of site-1 are copies of what site-0 has
    listed.loc[[24, 25], "fold"] = 0
    every = set(listed["clip_id"])
    first, second, third, _ = learned(listed, sources, monkeypatch)
    assert first == every - {f"c{n:03}" for n in range(26)}
    assert second == every - {"c000", "c001"} - {f"c{n:03}" for n in range(24, 48)}
    assert third == every - {f"c{n:03}" for n in range(48, 72)}


def test_what_is_left_out_of_training_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    _, listed, sources = clips(own=True)
    listed.loc[70, "times"] = 0
    listed.loc[71, ["label", "times"]] = "", 0
    assert not any({"c070", "c071"} & set(clip_ids) for clip_ids in learned(listed, sources, monkeypatch))


def test_a_source_is_left_out_that_is_all_there_is_or_was_new_anyhow_or_has_a_class_for_itself() -> None:
    x, listed, sources = clips(own=False)
    everything = sources.assign(source="all/")
    of_one_fold = listed["fold"] == 0  # as a given group is
    safe_here = (listed["label"] == "harmful") | (listed.index < 24)
    unheard = listed.assign(fold=np.where(listed.index < 24, -1, listed["fold"]))  # the first site is the test fold
    unheard.loc[:23, "times"] = 0
    for rows, judged, of in (
        (listed, listed, everything),
        (listed, listed, sources[of_one_fold].assign(source="group")),
        (listed.assign(times=safe_here.astype(int)), listed, sources[:24]),
        (unheard, unheard[:24], sources[:24]),
    ):
        assert new_sources(x, rows, judged, of, P, classes=CLASSES) == {}
    assert list(new_sources(x, listed, listed, sources[:24], P, classes=CLASSES)) == ["site-0/"]


def test_of_many_sources_those_with_the_most_clips_are_left_out_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    x, listed, sources = clips(own=False)
    monkeypatch.setattr("training.new_source.MOST", 2)
    smaller = sources.drop(index=[0, 1])
    assert list(new_sources(x, listed, listed, smaller, P, classes=CLASSES)) == ["site-1/", "site-2/"]
