"""Describe a data set as Croissant JSON-LD, for the tools that find and load data sets by it.

The format: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html
"""

from collections.abc import Mapping

from curation import tables
from curation.clips import SUFFIX
from curation.files import Json
from curation.stated import Data

VERSION = "http://mlcommons.org/croissant/1.0"
RESPONSIBLE_AI = "http://mlcommons.org/croissant/RAI/1.0"
ALIASES = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format"),
    *("includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"cr:{name}" for name in ALIASES},
}
TYPES = {"text": "sc:Text", "int": "sc:Integer", "float": "sc:Float", "bool": "sc:Boolean"}
PUBLISHED = (tables.CLIPS, tables.LABELS, tables.GROUPS, tables.FOLDS)
REQUIRED = ("name", "license", "url", "creators", "date_published")  # by the format, and only people know them
AUDIO, SOUNDS = "audio", "sounds"  # the files, and what is told of them


def croissant(said: Data, description: str, sha256: Mapping[str, str], *, audio: str) -> dict[str, Json]:
    """Return the description as JSON-LD; what nobody has said is left out.

    Args:
        said: what people say of the data set.
        description: what there is, in a sentence.
        sha256: hash of each table's file, by the name of the table.
        audio: the folder of the clips, relative to the tables.
    """
    people: list[Json] = [{"@type": "sc:Person", "name": name} for name in said.creators or ()]
    people += [{"@type": "sc:Organization", "name": name} for name in said.organizations or ()]
    found: dict[str, Json] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [VERSION, RESPONSIBLE_AI],
        "name": said.name,
        "description": "\n\n".join(filter(None, (said.description, description))),
        "license": said.license_link or said.license,
        "url": said.url,
        "creator": people or None,
        "datePublished": said.date_published.isoformat() if said.date_published else None,
        "inLanguage": said.language,
        "version": said.version,
        "citeAs": said.citation,
        "rai:dataCollection": said.collection,
        "rai:dataAnnotationProtocol": said.labelling,
        "rai:personalSensitiveInformation": said.personal_data,
        "rai:dataUseCases": said.intended_use,
        "rai:dataLimitations": said.out_of_scope_use,
        "distribution": [*(_file(name, sha256[name]) for name in sha256), _sounds(audio)],
        "recordSet": [_sound_records(), *(_records(table) for table in PUBLISHED)],
    }
    return {key: value for key, value in found.items() if value is not None}


def _file(name: str, sha256: str) -> dict[str, Json]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "encodingFormat": "text/csv",
        "sha256": sha256,
    }


def _sounds(audio: str) -> dict[str, Json]:
    return {
        "@type": "cr:FileSet",
        "@id": AUDIO,
        "name": AUDIO,
        "encodingFormat": "audio/wav",
        "includes": f"{audio}/*{SUFFIX}",
    }


def _records(table: tables.Table) -> dict[str, Json]:
    name = table.name.removesuffix(".csv")
    fields: list[Json] = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/{column}",
            "name": column,
            "description": declared.meaning,
            "dataType": TYPES[declared.kind],
            "source": {"fileObject": {"@id": table.name}, "extract": {"column": column}},
        }
        for column, declared in table.columns.items()
    ]
    keys = [{"@id": f"{name}/{column}"} for column in table.key]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "key": keys, "field": fields}


def _sound_records() -> dict[str, Json]:
    """Return the clips as sounds, each with today's label, which is found by the name of the file."""

    def field(name: str, meaning: str, kind: Json, source: Json) -> dict[str, Json]:
        return {
            "@type": "cr:Field",
            "@id": f"{SOUNDS}/{name}",
            "name": name,
            "description": meaning,
            "dataType": kind,
            "source": source,
        }

    clip_id, label = tables.LABELS.columns["clip_id"], tables.LABELS.columns["label"]
    file, labels = {"fileSet": {"@id": AUDIO}}, {"fileObject": {"@id": tables.LABELS.name}}
    name = {"extract": {"fileProperty": "filename"}, "transform": {"regex": rf"^(.*)\{SUFFIX}$"}}
    fields: list[Json] = [
        field("clip_id", clip_id.meaning, TYPES["text"], file | name)
        | {"references": labels | {"extract": {"column": "clip_id"}}},
        field("audio", "the sound", "sc:AudioObject", file | {"extract": {"fileProperty": "content"}}),
        field("label", label.meaning, [TYPES["text"], "cr:Label"], labels | {"extract": {"column": "label"}}),
    ]
    key = {"@id": f"{SOUNDS}/clip_id"}
    return {"@type": "cr:RecordSet", "@id": SOUNDS, "name": SOUNDS, "key": key, "field": fields}
