import csv
import hashlib
import json
import subprocess
import sys
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


VALIDATE = """
import json, sys, mlcroissant
dataset = mlcroissant.Dataset(jsonld=sys.argv[1])
issues = dataset.metadata.issues
read = {name: [record[f"{name}/clip_id"].decode() for record in dataset.records(name)] for name in sys.argv[2:]}
print(json.dumps({"errors": sorted(issues.errors), "warnings": sorted(issues.warnings), "read": read}))
"""


@pytest.mark.parametrize("said", [SAID, NOTHING], ids=["said", "not said"])
def test_mlcroissant_finds_no_error_and_reads_the_tables(said: stated.Stated, tmp_path: Path) -> None:
    found = described.tables_of()
    names = [table.name.removesuffix(".csv") for table in PUBLISHED]
    for name, table in zip(names, PUBLISHED, strict=True):
        tables.write(found[name], tmp_path / table.name, table)
    hashes = {table.name: hashlib.sha256((tmp_path / table.name).read_bytes()).hexdigest() for table in PUBLISHED}
    files.write_json(croissant(said.data, "Eight clips.", hashes, audio="clips"), tmp_path / "croissant.json")
    # in a process of its own: it takes over the logging of the one it is imported into
    command = [sys.executable, "-c", VALIDATE, str(tmp_path / "croissant.json"), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    judged = json.loads(done.stdout)
    assert judged["errors"] == []
    assert (judged["warnings"] == []) == (said is SAID)
    for name in names:
        with (tmp_path / f"{name}.csv").open() as lines:
            assert judged["read"][name] == [row["clip_id"] for row in csv.DictReader(lines)]
