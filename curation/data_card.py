"""Write the data card: what was measured of a data set and what people say of it, in Hugging Face's format."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from huggingface_hub import DatasetCardData

from curation.cautions import cautions
from curation.dataset import TEST, Dataset
from curation.markdown import block, code, counted, table
from curation.origins import origins
from curation.stated import Stated

SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"}
FLAGS = {
    "clipped": "samples cut off at the peak",
    "dc_offset": "the sound does not rest at zero",
    "dead_channel": "a channel of the recording is digital silence",
    "inverted_channel": "two channels of the recording cancel each other",
    "label": "the scores point to another class",
    "low_bandwidth": "upsampled, muffled or lossy",
    "mostly_silent": "hardly any sound",
    "near_duplicate": "looks like another clip to cleanlab",
    "noisy": "the quiet parts are nearly as loud as the loud ones",
    "outlier": "looks like no other clip to cleanlab",
}
MEASURES = ("duration_s", "loudness_lufs", "snr_db", "bandwidth_hz", "silent_share")  # of `tables.CLIPS`
LOAD = """\
from pathlib import Path

import pandas as pd
from datasets import Audio, Dataset  # of datasets[audio], which decodes

folder = Path({folder})
clips = pd.read_csv(folder / "labels.csv", usecols=["clip_id", "label"], dtype=str, keep_default_na=False)
clips = clips.merge(pd.read_csv(folder / "folds.csv", dtype={{"clip_id": str}}), on="clip_id")
clips = clips[clips["label"] != ""]  # the others are not labelled
clips["audio"] = str(folder / "clips") + "/" + clips["clip_id"] + ".wav"
dataset = Dataset.from_dict(clips.to_dict("list")).cast_column("audio", Audio())
"""


def data_card(found: Dataset, stated: Stated, version: str, *, folder: Path) -> str:
    """Return the card: front matter in YAML, then Markdown.

    Args:
        found: the tables.
        stated: what people say.
        version: which state of the data set it is, in Markdown.
        folder: where the tables are, for whoever loads them.
    """
    blocks = [
        f"---\n{_front_matter(found, stated)}\n---",
        f"# Data card: {stated.line('data', 'name')}" if stated.data.name else "# Data card",
        found.summary(),
        f"`earmark card` wrote this page. Every figure was measured and stands in a table of the project. What only "
        f"people can say stands in `{stated.path.name}`; where it says *not stated*, nobody has.",
        _facts(stated),
        "## What it is",
        stated.text("data", "description"),
        "## Classes and splits",
        _classes(found),
        _splits(found),
        "## Recordings",
        _recordings(found),
        _measures(found.clips),
        _rejects(found),
        "## Labels",
        *origins(found),
        "## Known faults",
        *_faults(found),
        "## What the measurements warn of",
        "\n".join(f"- {caution}" for caution in cautions(found)),
        *_said(stated),
        "## How to load it",
        f"In a copy of the project, after `dvc pull {folder}/clips`:",
        block(LOAD.format(folder=json.dumps(str(folder))), "python"),
        "## Version",
        version,
    ]
    return "\n\n".join(blocks) + "\n"


def _front_matter(found: Dataset, stated: Stated) -> str:
    said = stated.data
    card = DatasetCardData(
        pretty_name=said.name,
        language=said.language,
        license=said.license,
        license_name=said.license_name,
        license_link=said.license_link,
        size_categories=size_category(len(found.clips)),
        task_categories=["audio-classification"],
        tags=["audio", "earmark"],
    )
    return str(card.to_yaml())


def size_category(clips: int) -> str:
    """Return the size of a data set as Hugging Face names it."""
    return next((category for limit, category in SIZES.items() if clips < limit), "10M<n<100M")


def _facts(stated: Stated) -> str:
    facts = {
        "Name": ("name",),
        "Version": ("version",),
        "Licence": ("license", "license_name", "license_link"),
        "Language": ("language",),
        "Creators": ("creators", "organizations"),
        "Contact": ("contact",),
        "Address": ("url",),
        "Published": ("date_published",),
    }
    return "\n".join(f"- {what}: {stated.line('data', *keys)}" for what, keys in facts.items())


def _classes(found: Dataset) -> str:
    folds = sorted(found.folds["fold"].unique())
    names = {label: code(label) for label in found.data.classes} | {"": "not labelled"}
    parts = {name: found.rows[found.rows["label"] == label] for label, name in names.items()} | {"all": found.rows}
    rows = [
        (
            name,
            str(len(part)),
            f"{part['duration_s'].sum() / 60:.1f}",
            str(part["group"].nunique()),
            *(str((part["fold"] == fold).sum()) for fold in folds),
        )
        for name, part in parts.items()
    ]
    header = ("label", "clips", "minutes", "groups", *("test" if fold == TEST else f"fold {fold}" for fold in folds))
    return table(header, rows, numbers=True)


def _splits(found: Dataset) -> str:
    joined = (found.groups["why"] != "given").sum()
    test = "`test` is never trained on" if found.has_test else "There is no test set: models are judged by the folds"
    return (
        "Clips of one group (a recording, a speaker or a site, as given) are always in the same fold. Put with the "
        f"group of another clip because they sound the same: {joined} of {len(found.clips)} clips. {test}."
    )


def _recordings(found: Dataset) -> str:
    clips, data = found.clips, found.data
    recordings = len({*clips["file"], *found.rejects["file"]})
    lines = {
        "recordings": f"{recordings}, of which {clips['file'].nunique()} gave clips",
        "clips": f"{data.clip_s:g} s at {data.rate_hz} Hz, one channel of 16 bit; "
        f"{(clips['padded_s'] > 0).sum()} are shorter and filled up with zeros",
        "codecs, in clips": counted(clips["codec"]),
        "sample rates in Hz, in clips": counted(clips["rate_hz"]),
        "channels, in clips": counted(clips["channels"]),
    }
    return "\n".join(f"- {what}: {line}" for what, line in lines.items())


def _measures(clips: pd.DataFrame) -> str:
    spread = clips[list(MEASURES)].quantile([0, 0.5, 1])
    rows = [(code(name), *(f"{value:.4g}" for value in spread[name])) for name in MEASURES]
    return table(("measured of the clips", "least", "median", "most"), rows, numbers=True)


def _rejects(found: Dataset) -> str:
    reasons = f": {counted(found.rejects['reason'])}" * bool(len(found.rejects))
    return f"Rejected recordings, or windows of them: {len(found.rejects)}{reasons}."


def _faults(found: Dataset) -> Iterator[str]:
    clips = found.flags["clip_id"].nunique()
    yield f"{clips} of {len(found.clips)} clips are flagged. A flag is a reason to look; all of them are in the set."
    if clips:
        counts = found.flags["reason"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
        rows = [(code(str(flag)), f"{count}", FLAGS.get(str(flag), "")) for flag, count in counts.items()]
        yield table(("flag", "clips", "what speaks against them"), rows)


def _said(stated: Stated) -> Iterator[str]:
    sections = {
        "Where the sounds come from": "source",
        "How they were collected": "collection",
        "How the given labels came about": "labelling",
        "Consent": "consent",
        "Personal data": "personal_data",
        "Intended use": "intended_use",
        "Uses it is not for": "out_of_scope_use",
    }
    for title, key in sections.items():
        yield f"## {title}"
        yield stated.text("data", key)
    if stated.data.citation:
        yield "## How to cite it"
        yield block(stated.data.citation, "bibtex")
