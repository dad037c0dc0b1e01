"""What earmark's web pages share: their template, style, script and policy, and the sound and picture of a clip."""

import base64
import hashlib
import io
from pathlib import Path

import jinja2
import soundfile
from markupsafe import Markup

from curation import spectrogram
from curation.audio import Samples

PARTS = Path(__file__).parent / "page_parts"
TYPES = {"flac": "audio/flac", "png": "image/png"}


def render(folder: Path, *, inline: bool, **values: object) -> str:
    """Return the page that `page.html` of `folder` makes of `values`, every one of them escaped.

    The style is that of all pages, then that of `folder`; so is the script. The page's policy lets nothing else run
    and nothing be loaded: no sound and no picture but what is written into the page, or, unless `inline`, lies in
    files beside it.
    """
    script, style = ("\n".join(_texts(f"page.{kind}", PARTS, folder)) for kind in ("js", "css"))
    place = "data:" if inline else "'self' file:"
    policy = (
        f"default-src 'none'; img-src {place}; media-src {place}; "
        f"script-src {_digest(script)}; style-src {_digest(style)}"
    )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, PARTS]), autoescape=True, undefined=jinja2.ChainableUndefined
    )
    return environment.get_template("page.html").render(
        values,
        policy=policy,
        script=Markup(script),  # noqa: S704 - ours
        style=Markup(style),  # noqa: S704 - ours
    )


def media(samples: Samples, rate_hz: int) -> dict[str, bytes]:
    """Return the sound and the spectrogram of samples of shape (n_samples,), by the ending of their files."""
    sound = io.BytesIO()
    soundfile.write(sound, samples, rate_hz, format="FLAC")
    return {"flac": sound.getvalue(), "png": spectrogram.png(samples, rate_hz=rate_hz)}


def url(content: bytes, ending: str) -> str:
    """Return a file as an address that holds it."""
    return f"data:{TYPES[ending]};base64,{base64.b64encode(content).decode()}"


def axes(rate_hz: int) -> dict[str, object]:
    """Return what the template `player` marks the frequency axis by."""
    return {"low_hz": spectrogram.LOW_HZ, "high_hz": rate_hz // 2, "ticks_hz": spectrogram.ticks_hz(rate_hz)}


def _texts(name: str, *folders: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for folder in folders if (path := folder / name).exists()]


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
