"""What is chosen among several is not judged by what it was chosen by."""

import shutil
from pathlib import Path

import joblib
import numpy as np
import pytest
import search
import yaml
from click.testing import CliRunner
from rows import PARAMS

CLIPS, FOLDS, SEEDS = 60, 5, 60
NAMES = [f"sense {number}" for number in range(20)]
FOLD = np.arange(CLIPS) % FOLDS


def chosen(seed: int, *, heard: float) -> search.Choice:
    """Return the choice among senses that hear noise; the label lies in what `sense 7` hears as far as `heard` says."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(CLIPS) % 2)
    senses = {name: rng.normal(size=(CLIPS, 3)) for name in NAMES}
    senses["sense 7"][:, 0] += heard * (truth - 0.5)

    def learn(name: str, out: search.Held) -> np.ndarray:
        x, there = senses[name], np.isin(FOLD, [*out])
        second = 1 / (1 + np.exp(-x[there] @ x[~there].T @ (truth[~there] - 0.5)))
        return np.column_stack([1 - second, second])

    with joblib.parallel_config("sequential"):
        return search.choose(NAMES, truth, FOLD, learn)


def judged(heard: float) -> tuple[float, float, set[str]]:
    """Return the mean naive and nested balanced accuracy over seeds, and what was best."""
    choices = [chosen(seed, heard=heard) for seed in range(SEEDS)]
    naive, nested = (np.mean([search.accuracy(getattr(one, side)) for one in choices]) for side in ("naive", "nested"))
    return float(naive), float(nested), {one.best for one in choices}


def test_the_best_of_many_on_noise_is_above_chance_and_choosing_it_is_at_chance() -> None:
    naive, nested, _ = judged(heard=0.0)
    assert naive > 0.6
    assert nested == pytest.approx(0.5, abs=0.02)  # 0.54 where what chooses for a fold has learned from it


def test_a_candidate_that_hears_the_label_is_chosen_and_keeps_its_figure() -> None:
    naive, nested, best = judged(heard=3.0)
    assert best == {"sense 7"}
    assert naive > 0.9
    assert nested == naive


def test_the_choice_stands_in_params_yaml_among_its_comments(tmp_path: Path) -> None:
    path = Path(shutil.copy(PARAMS, tmp_path))
    before = path.read_text()
    search.write(path, "lite_cnn_v3")
    assert yaml.safe_load(path.read_text())["lite_cnn"]["recipe"] == "lite_cnn_v3"
    plain, written = before.splitlines(), path.read_text().splitlines()
    changed = [pair for pair in zip(plain, written, strict=True) if pair[0] != pair[1]]
    assert changed == [(line, line.replace("null", "lite_cnn_v3", 1)) for line in plain if "  recipe: null" in line][:1]
    search.write(path, search.PLAIN)
    assert path.read_text() == before


def test_the_candidates_are_the_section_and_its_recipes(tmp_path: Path) -> None:
    path = Path(shutil.copy(PARAMS, tmp_path))
    found = search.candidates(path)
    named = yaml.safe_load(path.read_text())["recipes"]
    assert [*found] == [search.PLAIN, *(name for name, of in named.items() if of["model"] == "lite_cnn")]
    assert found["lite_cnn_v1"].channels == tuple(named["lite_cnn_v1"]["channels"]) != found[search.PLAIN].channels


def test_a_name_that_is_no_candidate_is_refused_with_those_that_are(tmp_path: Path) -> None:
    shutil.copy(PARAMS, tmp_path)
    result = CliRunner().invoke(search.main, ["--project", str(tmp_path), "--only", "lite_cnn_v1", "--only", "v9"])
    assert result.exit_code == 2
    assert f"Invalid value for --only: 'v9' is no candidate; there are {[*search.candidates(PARAMS)]}." in result.output
