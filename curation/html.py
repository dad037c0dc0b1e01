"""Write the data review for a person: every changed clip with its sound and picture, in one file."""

import io
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import soundfile
from tqdm import tqdm

from curation import files, spectrogram, webpage
from curation.cards import Card

MOST = 500  # cards of a page, the most important ones: more than a person hears
LARGEST = 25_000_000  # bytes of one file; beyond it, a folder
PAGE = Path(__file__).parent / "review_page"


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
    if len(cards) > MOST:
        left_out = f"{len(cards) - MOST} of {len(cards)} changed clips are left out: `earmark diff --json` has all."
        texts = {**texts, "notes": [*texts["notes"], left_out]}
        cards = cards[:MOST]
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
    for ending, content in webpage.media(heard, rate_hz).items():
        stem.with_suffix(f".{ending}").write_bytes(content)
    heard_s: float = len(heard) / rate_hz
    return heard_s


def _render(
    cards: Sequence[Card], drawn: Sequence[float | str], media: Path | None, rate_hz: int, texts: Mapping[str, Any]
) -> str:
    def url(number: int, ending: str) -> str:
        if media is None:
            return f"media/{number}.{ending}"
        return webpage.url((media / f"{number}.{ending}").read_bytes(), ending)

    def shown(number: int, card: Card, found: float | str) -> dict[str, Any]:
        facts = asdict(card) | {"facts": _facts(card)}
        if isinstance(found, str):
            return facts | {"missing": found}
        urls = {"sound": url(number, "flac"), "picture": url(number, "png")}
        return facts | urls | {"duration_s": found, "ticks_s": spectrogram.ticks_s(found)}

    return webpage.render(
        PAGE,
        inline=media is not None,
        **texts,
        cards=map(shown, range(len(cards)), cards, drawn),
        filters={
            name: _values(_facts(card)[name] for card in cards) for name in ("change", "reason", "class", "origin")
        },
        axes=webpage.axes(rate_hz),
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
