import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from browser import assert_readable, press, start

from curation import html
from curation.cards import Card

RATE_HZ = 16000
EVIL = "</script><script>document.title='broken'</script>'\"><img src=x onerror=alert(1)>`|\n\u202egnp"
TEXTS = {"before": EVIL, "after": "fix", "verdict": EVIL, "notes": [EVIL], "rejects": [{"file": EVIL, "reason": EVIL}]}


def card(number: int, label: str, *, reason: str = "label", kind: str = "relabelled", origin: str = "review") -> Card:
    state = {"label": "safe", "origin": "given", "group": EVIL, "fold": "-1", "use": "used"}
    return Card(
        clip_id=f"c{number}",
        file=f"{9 - number}.wav",
        duration_s=0.5,
        kinds=[kind],
        before=state,
        after=state | {"label": label, "origin": origin},
        flags=[{"reason": reason, "score": "0.1", "suggested": EVIL, "when": "before"}],
        answers=[{"annotator": EVIL, "answer": label, "shown": "blind", "note": EVIL}],
        opinions=[{"model": EVIL, "before": f"{label} 0.75", "after": "safe 0.75"}],
        neighbours=[{"file": EVIL, "label": EVIL, "distance": 1.5}],
    )


CARDS = [
    card(1, "harmful", reason="quiet"),
    card(2, EVIL, reason=EVIL, kind="added"),
    card(3, "harmful", reason="noisy", origin="model"),
]


def sound(clip_id: str) -> bytes:
    if clip_id == "c9":
        raise FileNotFoundError("c9.wav is not here")
    content = io.BytesIO()
    tone = np.sin(2 * np.pi * 500 * np.arange(RATE_HZ) / RATE_HZ)
    soundfile.write(content, tone, RATE_HZ, format="WAV")
    return content.getvalue()


def page(tmp_path: Path, *cards: Card) -> Path:
    return html.write(cards, sound, tmp_path / "review.html", rate_hz=RATE_HZ, texts=TEXTS)


def test_the_page_is_one_file_that_asks_nothing_of_the_network(tmp_path: Path) -> None:
    text = page(tmp_path, *CARDS).read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["review.html"]
    assert set(re.findall(r'(?:src|href)="(.{5})', text)) == {"data:"}
    assert "default-src 'none'" in text.replace("&#39;", "'")


def test_no_text_of_the_data_becomes_markup(tmp_path: Path) -> None:
    text = page(tmp_path, *CARDS).read_text()
    assert (text.count("<script>"), text.count("<img")) == (1, 0)


def test_the_same_cards_are_the_same_bytes(tmp_path: Path) -> None:
    assert page(tmp_path / "a", *CARDS).read_bytes() == page(tmp_path / "b", *CARDS).read_bytes()


def test_what_stays_is_not_said_twice(tmp_path: Path) -> None:
    kept = card(1, "harmful")
    moved = replace(kept, after=kept.after | {"fold": "2"})
    for one, folds in ((kept, ["test"]), (moved, ["test", "fold 2"])):
        change = page(tmp_path, one).read_text().partition('<p class="change">')[2].partition("</p>")[0]
        assert re.findall(r"test|fold \d", change) == folds
        assert change.count("group") == 1


def test_a_missing_sound_is_said_where_the_player_would_be(tmp_path: Path) -> None:
    text = page(tmp_path, card(9, "safe")).read_text()
    assert "c9.wav is not here" in text
    assert "<audio" not in text


def test_no_id_leads_out_of_the_folder_and_no_length_beyond_the_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html, "LARGEST", 0)
    away = replace(CARDS[0], clip_id="../../../away", duration_s=1e12)
    text = page(tmp_path / "a/b", away, replace(CARDS[0], duration_s=0)).read_text()
    assert {path.parent.name for path in tmp_path.rglob("*") if path.is_file()} == {"review", "media"}
    assert "Mel spectrogram, 0 to 1.0 s" in text


def test_a_damaged_sound_is_said_and_the_rest_is_shown(tmp_path: Path) -> None:
    def damaged(clip_id: str) -> bytes:
        return b"RIFF" if clip_id == "c1" else sound(clip_id)

    text = html.write(CARDS, damaged, tmp_path / "review.html", rate_hz=RATE_HZ, texts=TEXTS).read_text()
    assert text.count("<audio") == 2
    assert "Format not recognised" in text


def test_too_large_a_page_becomes_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "LARGEST", 1000)
    for _ in range(2):  # the second time over the first
        index = page(tmp_path, *CARDS)
        assert index == tmp_path / "review/index.html"
        names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
        media = {f"review/media/{n}.{ending}" for n in (0, 1, 2) for ending in ("flac", "png")}
        assert names == {"review/index.html", *media}
    assert "media/1.flac" in index.read_text()


def test_of_very_many_clips_the_first_are_shown_and_the_others_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html, "MOST", 2)
    text = page(tmp_path, *CARDS).read_text()
    assert text.count("<article") == 2
    assert "1 of 3 changed clips are left out" in text
    monkeypatch.setattr(html, "MOST", 3)
    assert "are left out" not in page(tmp_path, *CARDS).read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from start()


def playing(browser: Any) -> list[str]:
    return list(
        browser.execute_script(
            "return [...document.querySelectorAll('audio')].filter(a => !a.paused || a.currentTime > 0)"
            ".map(a => a.closest('article').querySelector('code').textContent)"
        )
    )


def cards_shown(browser: Any) -> list[str]:
    return list(
        browser.execute_script(
            "return [...document.querySelectorAll('article:not([hidden]) code')].map(code => code.textContent)"
        )
    )


def choose(browser: Any, name: str, value: str) -> None:
    options = browser.find_element("name", name).find_elements("tag name", "option")
    next(option for option in options if option.get_attribute("value") == value).click()


@pytest.mark.slow
@pytest.mark.parametrize("largest", [html.LARGEST, 1000])
def test_one_can_click_and_type_through_the_page(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    monkeypatch.setattr(html, "LARGEST", largest)
    browser.get(page(tmp_path, *CARDS).as_uri())
    assert browser.title.startswith("What changed from </script>")
    assert cards_shown(browser) == ["c1", "c2", "c3"]
    choose(browser, "reason", "noisy")
    assert cards_shown(browser) == ["c3"]
    assert browser.find_element("id", "count").text == "1 of 3 clips"
    choose(browser, "reason", EVIL)
    assert cards_shown(browser) == ["c2"]
    choose(browser, "reason", "")
    choose(browser, "class", "harmful")
    assert cards_shown(browser) == ["c1", "c3"]
    choose(browser, "class", "")
    choose(browser, "change", "added")
    assert cards_shown(browser) == ["c2"]
    browser.find_element("tag name", "h1").click()
    press(browser, "\ue014")  # right: to the clip that is hidden next
    choose(browser, "reason", "noisy")
    assert cards_shown(browser) == []
    browser.find_element("tag name", "h1").click()
    press(browser, " ", "\ue014")
    browser.execute_async_script("setTimeout(arguments[0], 100)")
    assert playing(browser) == []
    choose(browser, "reason", "")
    choose(browser, "change", "")
    choose(browser, "origin", "model")
    assert cards_shown(browser) == ["c3"]
    choose(browser, "origin", "")
    for name, order in (("reason", "231"), ("class", "213"), ("origin", "312"), ("", "123"), ("file", "321")):
        choose(browser, "sort", name)
        assert cards_shown(browser) == [f"c{number}" for number in order], name
    browser.find_element("tag name", "h1").click()
    press(browser, "\ue014", "\ue012")  # right and left again, from the clip chosen above
    assert browser.switch_to.active_element.find_element("tag name", "code").text == "c2"
    press(browser, " ")
    browser.execute_async_script("setTimeout(arguments[0], 300)")
    assert playing(browser) == ["c2"]
    press(browser, "\ue012")  # left: the sound of the clip that is left stops
    browser.execute_async_script("setTimeout(arguments[0], 100)")
    assert browser.execute_script("return [...document.querySelectorAll('audio')].every(audio => audio.paused)")
    assert browser.switch_to.active_element.find_element("tag name", "code").text == "c3"
    loaded = "const i = new Image(); i.onload = () => arguments[1](i.naturalWidth); i.onerror = () => arguments[1](0);"
    address = browser.find_element("css selector", "svg image").get_attribute("href")
    assert browser.execute_async_script(f"{loaded} i.src = arguments[0]", address) > 0
    assert browser.get_log("browser") == []


@pytest.mark.slow
def test_a_screen_reader_finds_a_name_for_every_control_and_picture(browser: Any, tmp_path: Path) -> None:
    browser.get(page(tmp_path, *CARDS).as_uri())
    for what in ("select", "audio", "svg", "article", "form"):
        names = [element.accessible_name for element in browser.find_elements("tag name", what)]
        assert names, what
        assert all(names), what
    assert browser.find_element("tag name", "html").get_attribute("lang") == "en"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark_and_fits_a_narrow_window(browser: Any, tmp_path: Path, scheme: str) -> None:
    browser.get(page(tmp_path, *CARDS).as_uri())
    assert_readable(browser, scheme)
