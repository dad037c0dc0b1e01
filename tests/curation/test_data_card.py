import dataclasses
import itertools
from pathlib import Path
from typing import Any

import described
import pandas as pd
import pytest
import rows
import yaml
from huggingface_hub import DatasetCard

from curation import stated, tables
from curation.clips import SUFFIX
from curation.data_card import data_card, size_category
from curation.dataset import Dataset

HOSTILE = ("</td>|`harm\n---\n", "<script>alert(1)</script>: {a")
GOLDEN = Path(__file__).with_name("data_card.md")
SAID = stated.read(Path(__file__).parents[1] / "card.yaml")
NOTHING = stated.read(Path("card.yaml"))
VERSION = "- commit: none; nothing of this is in git"


def card(found: Dataset, said: stated.Stated = SAID) -> str:
    return data_card(found, said, VERSION, folder=Path("data"))


def news(**changed: object) -> str:
    """Return the lines that a change of some tables brings."""
    before = card(described.dataset()).splitlines()
    return "\n".join(line for line in card(described.dataset(**changed)).splitlines() if line not in before)


def altered(name: str, clip: str, **cells: object) -> dict[str, pd.DataFrame]:
    table = described.tables_of()[name]
    table.loc[table["clip_id"] == clip, list(cells)] = list(cells.values())
    return {name: table}


def test_the_card_is_the_golden_one() -> None:
    assert card(described.dataset()) == GOLDEN.read_text(encoding="utf-8")


def test_hugging_face_reads_the_front_matter() -> None:
    found = DatasetCard(card(described.dataset()))
    assert found.data.to_dict() == {
        "language": ["en", "de"],
        "license": "cc-by-4.0",
        "size_categories": "n<1K",
        "task_categories": ["audio-classification"],
        "pretty_name": "Harbour sounds",
        "tags": ["audio", "earmark"],
    }
    assert found.text.startswith("\n# Data card: Harbour sounds\n")


def test_what_nobody_said_is_neither_in_the_front_matter_nor_made_up() -> None:
    found = DatasetCard(card(described.dataset(), NOTHING))
    assert found.data.to_dict().keys() == {"size_categories", "task_categories", "tags"}
    for key in ("name", "license", "language", "creators", "source", "consent", "intended_use", "personal_data"):
        assert f"not stated (`data.{key}` in `card.yaml`)" in found.text


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (altered("clips", "c1", duration_s=63), ["2.8 minutes", "| `safe`       |     4 |     1.9 |", "|   63 |"]),
        (altered("clips", "c1", codec="ogg/opus"), ["5 `wav/pcm_16`, 2 `mp3/mpeg_layer_iii`, 1 `ogg/opus`"]),
        (altered("clips", "c1", rate_hz=8000), ["4 `16000`, 3 `48000`, 1 `8000`"]),
        (altered("clips", "c1", padded_s=0.0), ["1 are shorter and filled up with zeros"]),
        (altered("clips", "c1", file="pier/2.wav"), ["recordings: 10, of which 7 gave clips"]),
        (altered("clips", "c1", snr_db=-7.25), ["| `snr_db`              | -7.25 |      1 |    1 |"]),
        (altered("labels", "c4", label="safe"), ["1 `harmful`, 5 `safe`", "right for 83% of those labelled"]),
        (altered("labels", "c4", origin="review"), ["as given: 2; decided by people's answers: 5"]),
        (altered("reviews", "c3", asked=""), ["| `unknown`"]),
        (altered("labels", "c2", answers=2), ["(by two answers or more: 2)"]),
        (altered("labels", "c3", label="harmful"), ["random sample of them: 0 of 2, 0% [0%, 84%]."]),
        (altered("groups", "c2", group="g2", why="given"), ["in 8 groups", "they sound the same: 0 of 8 clips"]),
        (altered("folds", "c8", fold=-1), ["| test | fold 0 |", "`test` is never trained on"]),
        (altered("flags", "c6", reason="noisy"), ["| `noisy` | 2 "]),
        (altered("reviews", "c5", annotator="cyd"), ["by 3 people"]),
        (
            altered("reviews", "c2", shown="hinted"),
            ["(3 `blind`, 2 `hinted`)", "label 50% repeat it"],
        ),
        ({"rejects": described.tables_of()["rejects"].head(1)}, ["windows of them: 1: 1 `silent`."]),
        (
            {"shortcuts": described.tables_of()["shortcuts"].assign(auc=0.7)},
            ["No measure of the recording", "AUC 0.70"],
        ),
        (
            {"reviews": described.tables_of()["reviews"].assign(asked="")},
            ["is not measured: nobody has answered a clip of the audit"],
        ),
        ({"refused": "no better than chance"}, ["No label could be doubted", "`no better than chance`"]),
    ],
)
def test_what_a_table_says_the_card_says(changed: dict[str, Any], told: list[str]) -> None:
    new = news(**changed)
    assert [text for text in told if text not in new] == []


def test_without_answers_and_rejects_nothing_is_claimed() -> None:
    labels = described.tables_of()["labels"].assign(origin="given", answers=0)
    none = {name: getattr(tables, name.upper()).empty() for name in ("reviews", "rejects", "flags")}
    text = card(described.dataset(labels=labels, **none))
    assert "- answers: none\n" in text
    assert "agreement" not in text
    assert "Rejected recordings, or windows of them: 0.\n" in text
    assert "0 of 8 clips are flagged." in text
    assert "Recordings that gave no clip" not in text


@pytest.mark.parametrize(
    ("clips", "category"), [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**5, "100K<n<1M"), (10**7, "10M<n<100M")]
)
def test_the_size_is_one_of_hugging_faces_categories(clips: int, category: str) -> None:
    assert size_category(clips) == category


def test_no_word_of_the_data_breaks_out() -> None:
    hostile = described.dataset(HOSTILE)
    rejects = rows.table(tables.REJECTS, {"file": "a", "reason": "x`|<img src=x>\n# Heading", "label": HOSTILE[0]})
    text = card(dataclasses.replace(hostile, rejects=rejects, refused="`</code>\n\n# Other"))
    renderer = pytest.importorskip("markdown_it", reason="needs markdown-it-py to render").MarkdownIt("commonmark")
    tokens = renderer.enable("table").parse(DatasetCard(text).text)
    inline = [token for block in tokens for token in block.children or ()]
    assert [token.content for token in (*tokens, *inline) if token.type.startswith("html")] == []
    headings = [after.content for token, after in itertools.pairwise(tokens) if token.type == "heading_open"]
    golden = [line.lstrip("# ") for line in GOLDEN.read_text().split("```bibtex")[0].splitlines() if line[:1] == "#"]
    assert headings[: len(golden)] == golden
    cells = sum(token.type in ("td_open", "th_open") for token in renderer.parse(card(described.dataset())))
    assert sum(token.type in ("td_open", "th_open") for token in tokens) >= cells


def test_what_people_say_breaks_neither_the_front_matter_nor_the_page() -> None:
    data = SAID.data.model_copy(
        update={"name": "a: b\n---\n# c <b>", "citation": "```\n# d", "creators": ["- x", "@y"]}
    )
    found = DatasetCard(card(described.dataset(), dataclasses.replace(SAID, data=data)))
    assert found.data.to_dict()["pretty_name"] == "a: b\n---\n# c <b>"
    assert "# Data card: a: b --- # c &lt;b>\n" in found.text
    assert "\n````bibtex\n```\n# d\n````\n" in found.text


def test_the_lines_that_load_the_set_load_it(tmp_path: Path) -> None:
    found, folder = described.dataset(), tmp_path / 'the "data"'
    tables.write(found.labels, folder / "labels.csv", tables.LABELS)
    tables.write(found.folds, folder / "folds.csv", tables.FOLDS)
    text = data_card(found, SAID, VERSION, folder=folder)
    lines = text.partition("```python\n")[2].partition("```")[0]
    loaded: dict[str, Any] = {}
    exec(lines, loaded)  # noqa: S102 - our own lines
    dataset = loaded["dataset"]
    expected = found.labelled
    assert dataset["label"][:] == expected["label"].tolist()
    assert dataset["fold"][:] == expected["fold"].tolist()
    paths = [audio["path"] for audio in dataset.cast_column("audio", loaded["Audio"](decode=False))["audio"]]
    assert paths == [str(folder / "clips" / f"{clip}{SUFFIX}") for clip in expected["clip_id"]]


def test_the_front_matter_is_yaml_that_a_safe_loader_reads() -> None:
    block = card(described.dataset(HOSTILE)).split("---\n")[1]
    assert yaml.safe_load(block)["pretty_name"] == "Harbour sounds"
