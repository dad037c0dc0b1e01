"""What annotators see in Label Studio: the page on which they answer, and the instructions above it."""

from collections.abc import Mapping, Sequence
from html import escape
from xml.etree import ElementTree as xml

import pandas as pd

from curation.files import Json

ANSWERS = {"unsure": "u", "bad_audio": "b", "none": "n"}  # those that are no class, and their keys
WORDS = {
    "unsure": "You cannot tell. It counts as no answer, which is better than a guess.",
    "bad_audio": "There is nothing to judge: silence, noise or distortion, or the sound is cut off.",
    "none": "You hear what it is, and it belongs to none of the classes.",
}
KEYS = "1234567890qwertyiopasdfghjklzxcvm"  # of the classes, in their order: as they lie on the keyboard
HINTED = "What a model guesses is chosen already. It may be wrong: trust your ears."
EXAMPLES = 3  # of each class


def keys(classes: Sequence[str]) -> dict[str, str]:
    """Return the key of each answer, in the order of the page; classes after the 33rd have none."""
    own = dict(zip(classes, KEYS, strict=False))
    return {**{name: own.get(name, "") for name in classes}, **ANSWERS}


def config(classes: Sequence[str], *, hinted: bool = False) -> str:
    """Return Label Studio's labelling configuration for clips of `classes`.

    The answers come back as the choice `label` and the text `note`. A task needs the data `audio`. With `hinted` the
    page says that an answer is chosen already: the prediction of the task, which the project must be set to show.
    """
    view = xml.Element("View")
    if hinted:
        xml.SubElement(view, "Header", value=HINTED, size="5")
    xml.SubElement(
        view, "Audio", name="audio", value="$audio", hotkey="space", height="96", spectrogram="true", zoom="true"
    )
    choices = xml.SubElement(
        view, "Choices", name="label", toName="audio", choice="single-radio", required="true", showInline="true"
    )
    for answer, key in keys(classes).items():
        xml.SubElement(choices, "Choice", {"value": answer} | ({"hotkey": key} if key else {}))
    xml.SubElement(
        view, "TextArea", name="note", toName="audio", rows="1", maxSubmissions="1", placeholder="note (optional)"
    )
    xml.indent(view)
    return xml.tostring(view, encoding="unicode") + "\n"


def prediction(label: str, score: float, version: str) -> dict[str, Json]:
    """Return a model's guess as this page shows it: Label Studio's form of a prediction."""
    part: Json = {"from_name": "label", "to_name": "audio", "type": "choices", "value": {"choices": [label]}}
    return {"model_version": version, "score": score, "result": [part]}


def instructions(classes: Sequence[str], examples: Mapping[str, Sequence[str]], *, hinted: bool = False) -> str:
    """Return the instructions as HTML: how to decide, the keys, and `examples`, addresses of clips, by class."""
    rows = "".join(
        f"<tr><td><kbd>{escape(key)}</kbd></td><td><b>{escape(answer)}</b></td>"
        f"<td>{escape(WORDS.get(answer, ''))}{_links(examples.get(answer, ()))}</td></tr>"
        for answer, key in keys(classes).items()
    )
    hint = f"<p>{HINTED}</p>" if hinted else ""
    return (
        "<p>Listen to the whole clip, then choose what you hear. When two answers fit, take the louder or longer one, "
        f'and say so in the note.</p>{hint}<table cellpadding="6"><tbody>{rows}</tbody></table>'
        "<p><kbd>space</kbd> plays and pauses, <kbd>ctrl</kbd>+<kbd>enter</kbd> submits and brings the next clip, "
        "<kbd>ctrl</kbd>+<kbd>space</kbd> skips it; <kbd>enter</kbd> finishes a note.</p>"
    )


def examples(
    labels: pd.DataFrame, scores: pd.DataFrame, flags: pd.DataFrame, queue: pd.DataFrame
) -> dict[str, list[str]]:
    """Return, by class, the few clips whose label is the most certain, and that nobody is asked about."""
    doubted = {*flags["clip_id"], *queue["clip_id"]}
    own = labels.loc[~labels["clip_id"].isin(doubted), ["clip_id", "label"]].merge(scores)
    best = own.sort_values(["probability", "clip_id"], ascending=[False, True]).groupby("label").head(EXAMPLES)
    return {str(label): list(rows["clip_id"]) for label, rows in best.groupby("label")}


def _links(addresses: Sequence[str]) -> str:
    """Return links: of all that plays sound, Label Studio's filter of HTML leaves only these."""
    links = [f'<a href="{escape(address)}">{number}</a>' for number, address in enumerate(addresses, 1)]
    return f"for example {', '.join(links)}" if links else ""
