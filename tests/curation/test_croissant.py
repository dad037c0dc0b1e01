import csv
import hashlib
import json
import logging
from pathlib import Path

import described
import pytest

from curation import files, stated, tables
from curation.croissant import PUBLISHED, REQUIRED, croissant

SAID = stated.read(Path(__file__).parents[1] / "card.yaml")
NOTHING = stated.read(Path("card.yaml"))
HASHES = {table.name: "0" * 64 for table in PUBLISHED}


def test_what_people_say_stands_under_the_names_of_the_format() -> None:
    found = croissant(SAID.data, "Eight clips.", HASHES, audio="clips")
    told = {key: found[key] for key in ("name", "license", "url", "datePublished", "inLanguage", "version")}
    assert told == {
        "name": "Harbour sounds",
        "license": "cc-by-4.0",
        "url": "https://example.org/harbour",
        "datePublished": "2026-11-20",
        "inLanguage": ["en", "de"],
        "version": "1.0.0",
    }
    assert found["description"] == "Ships and gulls.\n\nTwo **classes**.\n\nEight clips."
    assert found["creator"] == [
        {"@type": "sc:Person", "name": "Jane Doe"},
        {"@type": "sc:Person", "name": "Erika Mustermann"},
        {"@type": "sc:Organization", "name": "Harbour Institute"},
    ]
    assert found["rai:personalSensitiveInformation"] == "None."


def test_what_nobody_says_is_left_out() -> None:
    found = croissant(NOTHING.data, "Eight clips.", HASHES, audio="clips")
    assert found.keys() == {"@context", "@type", "conformsTo", "description", "distribution", "recordSet"}
    assert {f"data.{key}" for key in REQUIRED} <= set(NOTHING.missing())


def test_every_column_of_the_published_tables_is_described_and_ids_are_unique() -> None:
    found = json.loads(json.dumps(croissant(SAID.data, "", HASHES, audio="clips")))
    fields = {field["@id"]: field for records in found["recordSet"] for field in records["field"]}
    for table in PUBLISHED:
        for name, column in table.columns.items():
            field = fields.pop(f"{table.name.removesuffix('.csv')}/{name}")
            assert field["description"] == column.meaning
            assert field["source"] == {"fileObject": {"@id": table.name}, "extract": {"column": name}}
    assert list(fields) == ["sounds/clip_id", "sounds/audio", "sounds/label"]
    ids = [part["@id"] for kind in ("distribution", "recordSet") for part in found[kind]]
    assert len(ids) == len(set(ids)) == 10


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what mlcroissant rests on
@pytest.mark.parametrize("said", [SAID, NOTHING], ids=["said", "not said"])
def test_mlcroissant_finds_no_error_and_reads_the_tables(
    said: stated.Stated, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import mlcroissant  # takes a second

    caplog.set_level(logging.ERROR)
    found = described.tables_of()
    for table in PUBLISHED:
        tables.write(found[table.name.removesuffix(".csv")], tmp_path / table.name, table)
    hashes = {table.name: hashlib.sha256((tmp_path / table.name).read_bytes()).hexdigest() for table in PUBLISHED}
    files.write_json(croissant(said.data, "Eight clips.", hashes, audio="clips"), tmp_path / "croissant.json")
    dataset = mlcroissant.Dataset(jsonld=str(tmp_path / "croissant.json"))
    assert dataset.metadata.issues.errors == set()
    assert (dataset.metadata.issues.warnings == set()) == (said is SAID)
    for table in PUBLISHED:
        name = table.name.removesuffix(".csv")
        read = [record[f"{name}/clip_id"].decode() for record in dataset.records(name)]
        with (tmp_path / table.name).open() as lines:
            assert read == [row["clip_id"] for row in csv.DictReader(lines)]
