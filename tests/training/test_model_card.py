import itertools
from pathlib import Path
from typing import Any

import described
import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from curation import stated
from curation.dataset import Dataset
from training.model_card import Model, Weights, model_card

HOSTILE = ("</td>|`harm\n---\n```\n", "<script>alert(1)</script>: {a")
GOLDEN = Path(__file__).with_name("model_card.md")
SAID = stated.read(Path(__file__).parents[1] / "card.yaml")
NOTHING = stated.read(Path("card.yaml"))
VERSION = "- commit: none; nothing of this is in git"
NEW_SOURCE = {
    "new_source": {
        "sources": 2,
        "source": "pier/",
        "clips": 30,
        "change": -0.2,
        "change_low": -0.3,
        "change_high": -0.1,
        "value": 0.55,
        "low": 0.4,
        "high": 0.7,
    }
}


def card(model: Model, found: Dataset | None = None, said: stated.Stated = SAID, commit: str = "") -> str:
    return model_card(model, found or described.dataset(), said, VERSION, commit=commit, audio=Path("data/clips"))


def news(**changed: object) -> str:
    """Return the lines that a change of the model brings."""
    before = card(described.model()).splitlines()
    return "\n".join(line for line in card(described.model(**changed)).splitlines() if line not in before)


def judged(**figures: object) -> dict[str, Any]:
    return {"measured": described.measured() | figures}


def test_the_card_is_the_golden_one() -> None:
    assert card(described.model()) == GOLDEN.read_text(encoding="utf-8")


def test_hugging_face_reads_every_figure_from_the_model_index() -> None:
    found = ModelCard(card(described.model(), commit="f" * 40)).data
    assert (found.model_name, found.datasets, found.pipeline_tag) == (
        "lite_cnn", ["harbour/sounds"], "audio-classification"
    )  # fmt: skip
    figures = {result.metric_name.partition(" (")[0]: result for result in found.eval_results}
    assert {name: result.metric_value for name, result in figures.items()} == {
        "accuracy": 0.83, "balanced_accuracy": 0.88, "mcc": 0.71,
        "recall of harmful": 1.0, "recall of safe": 0.75, "ece": 0.13,
    }  # fmt: skip
    one = figures["balanced_accuracy"]
    assert one.metric_name == "balanced_accuracy (95 % interval 0.61 to 1.00; always safe: 0.50)"
    assert (one.dataset_type, one.dataset_name, one.dataset_split) == (
        "harbour/sounds", "Harbour sounds", "cross-validation"
    )  # fmt: skip
    assert {result.dataset_revision for result in found.eval_results} == {"f" * 40}
    assert figures["mcc"].metric_type == "matthews_correlation"


def test_what_nobody_said_is_neither_in_the_front_matter_nor_made_up() -> None:
    found = ModelCard(card(described.model(), said=NOTHING))
    assert found.data.to_dict().keys() == {"pipeline_tag", "tags", "model-index"}
    assert {result.dataset_type for result in found.data.eval_results} == {"not-stated"}
    for key in ("models.license", "models.creators", "models.intended_use", "models.out_of_scope_use", "data.name"):
        assert f"not stated (`{key}` in `card.yaml`)" in found.text


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (judged(faults=["says 'safe' for 6 of 6 clips", "no better"]), "> **Do not rely on it.** `says 'safe' for 6"),
        (
            judged(balanced_accuracy={"value": 0.6, "low": 0.5, "high": 0.7, "majority": 0.5}),
            "> **It may be no better than saying one class throughout:** balanced accuracy 0.60 [0.50, 0.70], and 0.50",
        ),
        (
            judged(balanced_accuracy={"value": 0.6, "low": None, "high": None, "majority": 0.5}),
            "> **It may be no better than saying one class throughout:** balanced accuracy 0.60 (no interval), and",
        ),
        (judged(clips=61, groups=17), "Judged by cross-validation in 3 folds: 61 clips in 17 groups"),
        (
            judged(brier={"value": 0.3125, "low": 0.2, "high": 0.4, "majority": 0.49}),
            "|  0.31 [0.20, 0.40] |          0.49 |",
        ),
        ({"train": described.tables_of()["train"].assign(times=0, why="flagged")}, "0 clips, 0 draws an epoch"),
        ({"weights": {"fold_2": Weights(7, 9_400_000)}}, "1 files (`fold_2`) of 7 numbers, 9.4 MB each"),
        ({"built": {"model": "wav2vec2", "weights": "WAV2VEC2_BASE"}}, "pretrained weights: `WAV2VEC2_BASE`\n"),
        ({"built": {"weights": "w2v", "sha256": "ab12"}}, "pretrained weights: `w2v`, SHA-256 `ab12`\n"),
        ({"built": {"model": "somebodys"}}, "It is not a model of earmark"),
        ({"built": {}, "weights": {}}, "weights: not here; `dvc pull models/lite_cnn` brings them"),
        ({"shifted": {}}, "What noise, another level, codecs or a room cost it was not measured."),
        ({"shifted": NEW_SOURCE}, "What noise, another level, codecs or a room cost it was not measured."),
        ({"shifted": NEW_SOURCE}, "trained without `pier/` has a balanced accuracy of 0.55 [0.40, 0.70] there, -0.20"),
        ({"recipe": {}}, "The recipe is not known"),
        ({"recipe": {"lite_cnn": {"epochs": 99}}}, "lite_cnn: {epochs: 99}\n"),
    ],
)
def test_what_is_known_of_the_model_the_card_says(changed: dict[str, Any], told: str) -> None:
    assert told in news(**changed) + "\n"


def test_a_recall_that_is_known_well_is_not_called_uncertain() -> None:
    narrow = {"value": 0.8, "low": 0.75, "high": 0.85, "majority": 1.0, "minority": 0.0}
    first = described.measured()["recall"]["harmful"]
    assert "The set is small" not in card(described.model(**judged(recall={"harmful": first, "safe": narrow})))
    none = narrow | {"low": None, "high": None}
    text = card(described.model(**judged(recall={"harmful": first, "safe": none})))
    assert "too small to say how well the recall of `safe` is known" in text


def test_a_test_fold_is_named_as_the_judge() -> None:
    folds = described.tables_of()["folds"].assign(fold=[-1, 0, 1, 2, 0, -1, 1, 2])
    model = described.model(weights={"test": Weights(1, 1)})
    text = card(model, described.dataset(folds=folds))
    assert "Judged by the test fold: 6 clips in 5 groups" in text
    assert "2 labels judge it: 1 come from people's answers" in text
    assert "No test set was kept" not in text
    assert '["c1"], data)' in text
    assert '.load(folder, "test")' in text


def test_a_class_named_like_a_key_of_the_metrics_is_a_class() -> None:
    classes = ("value", "low")
    model = described.model(classes)
    found = ModelCard(card(model, described.dataset(classes))).data
    assert {"recall of value", "recall of low"} < {result.metric_name.split(" (")[0] for result in found.eval_results}


def test_no_word_of_the_data_breaks_out() -> None:
    measured = described.measured(HOSTILE) | {"faults": ["`</code>\n\n# Other"]}
    text = card(described.model(HOSTILE, measured=measured), described.dataset(HOSTILE))
    found = ModelCard(text)
    name, results = model_index_to_eval_results(yaml.safe_load(text.split("\n---\n")[0])["model-index"])
    assert name == "lite_cnn"
    assert f"recall of {HOSTILE[0]}" in {result.metric_name.partition(" (95")[0] for result in results}
    renderer = pytest.importorskip("markdown_it", reason="needs markdown-it-py to render").MarkdownIt("commonmark")
    tokens = renderer.enable("table").parse(found.text)
    inline = [token for block in tokens for token in block.children or ()]
    assert [token.content for token in (*tokens, *inline) if token.type.startswith("html")] == []
    headings = [after.content for token, after in itertools.pairwise(tokens) if token.type == "heading_open"]
    assert headings == [line.lstrip("# ") for line in GOLDEN.read_text().splitlines() if line[:1] == "#"]
    recipe = next(token.content for token in tokens if token.type == "fence" and token.info == "yaml")
    assert yaml.safe_load(recipe)["data"]["classes"] == list(HOSTILE)
