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
PAGE = Path(__file__).parent / "page"
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
        media, missing = Path(scratch) / "media", {}
        media.mkdir()
        for card in tqdm(cards, desc="review", unit="clip", delay=2):
            try:
                _draw(sound(card.clip_id), media / card.clip_id, card.duration_s)
            except FileNotFoundError as error:
                missing[card.clip_id] = str(error)
        inline = sum(file.stat().st_size for file in media.iterdir()) * 4 / 3 < LARGEST
        html = _render(cards, missing, media if inline else None, rate_hz, texts)
        target = path if inline else path.with_suffix("") / "index.html"
        files.write_text(html, target)
        if not inline:
            shutil.rmtree(target.parent / "media", ignore_errors=True)
            shutil.move(media, target.parent / "media")
    return target


def _draw(wav: bytes, stem: Path, duration_s: float) -> None:
    samples, rate_hz = soundfile.read(io.BytesIO(wav), dtype="float32")
    heard = samples[: round(duration_s * rate_hz) or None]  # without the padding
    soundfile.write(stem.with_suffix(".flac"), heard, rate_hz)
    stem.with_suffix(".png").write_bytes(spectrogram.png(heard, rate_hz=rate_hz))


def _render(
    cards: Sequence[Card], missing: Mapping[str, str], media: Path | None, rate_hz: int, texts: Mapping[str, Any]
) -> str:
    script, style = ((PAGE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    place = "data:" if media else "'self' file:"
    policy = (
        f"default-src 'none'; img-src {place}; media-src {place}; "
        f"script-src {_digest(script)}; style-src {_digest(style)}"
    )

    def url(card: Card, ending: str) -> str:
        if media is None:
            return f"media/{card.clip_id}.{ending}"
        content = base64.b64encode((media / f"{card.clip_id}.{ending}").read_bytes()).decode()
        return f"data:{TYPES[ending]};base64,{content}"

    def shown(card: Card) -> dict[str, Any]:
        drawn = card.clip_id not in missing
        return asdict(card) | {
            "facts": _facts(card),
            "missing": missing.get(card.clip_id, ""),
            "sound": url(card, "flac") if drawn else "",
            "picture": url(card, "png") if drawn else "",
            "ticks_s": spectrogram.ticks_s(card.duration_s),
        }

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE), autoescape=True, undefined=jinja2.ChainableUndefined
    )
    return environment.get_template("page.html").render(
        texts,
        cards=map(shown, cards),
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
