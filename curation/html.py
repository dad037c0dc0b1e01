"""Write the data review for a person: every changed clip with its sound and picture, in one file."""

import base64
import hashlib
import io
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2
import soundfile
from markupsafe import Markup
from tqdm import tqdm

from curation import files, spectrogram
from curation.cards import Card

LARGEST = 25_000_000  # bytes of one file; beyond it, a folder
PAGE = Path(__file__).parent / "review_page"
TYPES = {"flac": "audio/flac", "png": "image/png"}


def write(
    cards: Sequence[Card], sound: Callable[[str], bytes], path: Path, *, rate_hz: int, texts: Mapping[str, Any]
) -> Path:
    """Write the page, and return where it is: `path`, or when that would be too large the index of a folder beside it.

    Args:
        cards: the clips.
        sound: gives the WAV file of a clip, or raises FileNotFoundError with what to say.
        path: an HTML file.
        rate_hz: sample rate of the clips.
        texts: `before`, `after`, `verdict`, `notes`, and `rejects`, as plain text.

    Raises:
        click.ClickException: the file system refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        media = Path(scratch) / "media"
        media.mkdir()
        drawn: list[float | str] = []  # seconds of the sound, or why there is none
        for number, card in enumerate(tqdm(cards, desc="review", unit="clip", delay=2)):
            try:  # named by number: an id comes from the data, and could point anywhere
                drawn.append(_draw(sound(card.clip_id), media / str(number), card.duration_s))
            except (FileNotFoundError, soundfile.LibsndfileError) as error:
                drawn.append(str(error))
        inline = sum(file.stat().st_size for file in media.iterdir()) * 4 / 3 < LARGEST
        html = _render(cards, drawn, media if inline else None, rate_hz, texts)
        target = path if inline else path.with_suffix("") / "index.html"
        files.write_text(html, target)
        if not inline:
            shutil.rmtree(target.parent / "media", ignore_errors=True)
            shutil.move(media, target.parent / "media")
    return target


def _draw(wav: bytes, stem: Path, duration_s: float) -> float:
    """Write sound and picture beside each other, and return how long they are, in s."""
    samples, rate_hz = soundfile.read(io.BytesIO(wav), dtype="float32")
    heard = samples[: max(1, round(duration_s * rate_hz))]  # without the padding
    soundfile.write(stem.with_suffix(".flac"), heard, rate_hz)
    stem.with_suffix(".png").write_bytes(spectrogram.png(heard, rate_hz=rate_hz))
    heard_s: float = len(heard) / rate_hz
    return heard_s


def _render(
    cards: Sequence[Card], drawn: Sequence[float | str], media: Path | None, rate_hz: int, texts: Mapping[str, Any]
) -> str:
    script, style = ((PAGE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    place = "data:" if media else "'self' file:"
    policy = (
        f"default-src 'none'; img-src {place}; media-src {place}; "
        f"script-src {_digest(script)}; style-src {_digest(style)}"
    )

    def url(number: int, ending: str) -> str:
        if media is None:
            return f"media/{number}.{ending}"
        content = base64.b64encode((media / f"{number}.{ending}").read_bytes()).decode()
        return f"data:{TYPES[ending]};base64,{content}"

    def shown(number: int, card: Card, found: float | str) -> dict[str, Any]:
        facts = asdict(card) | {"facts": _facts(card)}
        if isinstance(found, str):
            return facts | {"missing": found}
        urls = {"sound": url(number, "flac"), "picture": url(number, "png")}
        return facts | urls | {"duration_s": found, "ticks_s": spectrogram.ticks_s(found)}

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE), autoescape=True, undefined=jinja2.ChainableUndefined
    )
    return environment.get_template("page.html").render(
        texts,
        cards=map(shown, range(len(cards)), cards, drawn),
        filters={
            name: _values(_facts(card)[name] for card in cards) for name in ("change", "reason", "class", "origin")
        },
        low_hz=spectrogram.LOW_HZ,
        high_hz=rate_hz // 2,
        ticks_hz=spectrogram.ticks_hz(rate_hz),
        policy=policy,
        script=Markup(script),  # noqa: S704 - ours
        style=Markup(style),  # noqa: S704 - ours
    )


def _facts(card: Card) -> dict[str, list[str]]:
    """Return what cards are filtered and sorted by."""
    states = [state for state in (card.after, card.before) if state]
    return {
        "change": card.kinds,
        "reason": list(dict.fromkeys(flag["reason"] for flag in card.flags)),
        "class": list(dict.fromkeys(state["label"] or "not labelled" for state in states)),
        "origin": list(dict.fromkeys(state["origin"] for state in states)),
        "file": [card.file],
    }


def _values(facts: Iterable[list[str]]) -> list[str]:
    return sorted({value for values in facts for value in values if value})


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
