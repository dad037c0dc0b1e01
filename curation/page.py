"""The annotator's page, as a label config of Label Studio."""

from collections.abc import Sequence
from html import escape


def config(classes: Sequence[str], *, hinted: bool = False) -> str:
    """Return the label config."""
    del hinted
    choices = "".join(f'<Choice value="{escape(name)}"/>' for name in (*classes, "unsure", "bad_audio", "none"))
    return (
        '<View><Audio name="audio" value="$audio"/>'
        f'<Choices name="label" toName="audio" choice="single-radio" required="true">{choices}</Choices>'
        '<TextArea name="note" toName="audio" maxSubmissions="1"/></View>'
    )
