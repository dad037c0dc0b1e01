import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import stand
from browser import assert_readable, press, start

from curation import files
from training import page as pages
from training.causes import causes
from training.findings import Findings

EVIL = "</script><script>document.title='broken'</script>'\"><img src=x onerror=alert(1)>`"


def page(found: Findings, folder: Path) -> str:
    return pages.page(found, causes(found), folder / "audio", rate_hz=stand.RATE_HZ)


def hostile(found: Findings) -> Findings:
    """Return the findings of a project in which a class, the models and every file are named to break out."""

    def renamed(value: Any) -> Any:
        if isinstance(value, pd.DataFrame):
            named = value.replace({"safe": EVIL})
            return named.assign(file=EVIL) if "file" in named else named
        if isinstance(value, dict):
            names = {"safe": EVIL, "lite_cnn": f"lite {EVIL}"}
            return {names.get(key, key): renamed(inner) for key, inner in value.items()}
        return value

    fields = {field.name: renamed(getattr(found, field.name)) for field in dataclasses.fields(found)}
    return Findings(**fields | {"classes": ("harmful", EVIL)})


def test_the_page_says_what_the_terminal_says(found: Findings, folder: Path) -> None:
    text = page(found, folder)
    assert "<code>wav2vec2</code> has collapsed; <code>lite_cnn</code> is better than chance." in text
    for section in ("causes", "next", "evidence", "pictures", "errors", "suspects", "data"):
        assert f'id="{section}"' in text
        assert f'href="#{section}"' in text
    first_screen = text.partition("<main>")[0]
    for sign in ("harmful</code> for 100%", "0.00 [0.00, 0.00]", "0.50 [0.50, 0.50]"):
        assert sign in first_screen


def test_the_evidence_is_whole(found: Findings, folder: Path) -> None:
    text = page(found, folder)
    for name in ("accuracy", "balanced accuracy", "MCC", "AUC", "precision", "recall", "F1"):
        assert f'<th scope="col">{name}</th>' in text
    for row in ("lite_cnn</code>", "always <code>harmful</code>", "always <code>safe</code>"):
        assert text.count(row) >= 3  # for all classes, and for each


def test_the_page_asks_nothing_of_the_network_and_is_the_same_bytes_again(found: Findings, folder: Path) -> None:
    text = page(found, folder)
    addresses = re.findall(r'(?:src|href)="([^"]{5})', text)
    assert {"data:" if address == "data:" else address[0] for address in addresses} == {"data:", "#"}
    assert "default-src 'none'" in text.replace("&#39;", "'")
    assert page(found, folder) == text


def test_no_text_of_the_data_becomes_markup(found: Findings, folder: Path) -> None:
    text = page(hostile(found), folder)
    assert (text.count("<script>"), text.count("<img")) == (1, 0)
    assert "&lt;/script&gt;" in text


def test_of_many_suspects_the_worst_that_nobody_heard_are_shown(
    found: Findings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown(page(found, folder), "clip") == ["h11", "s7"]
    heard = found.labels.assign(answers=(found.labels["clip_id"] == "h11").astype(int))
    assert shown(page(dataclasses.replace(found, labels=heard), folder), "clip") == ["s7"]
    monkeypatch.setattr(pages, "SUSPECTS", 1)
    assert shown(page(found, folder), "clip") == ["h11"]


def shown(text: str, kind: str) -> list[str]:
    """Return the clips of the errors (`error`) or of the suspects (`clip`), in the order of the page."""
    return re.findall(rf'id="{kind}\d+"><bdi>(\w+)\.wav</bdi></h3>', text)


def erring(folder: Path, **sure: float) -> Findings:
    """Return the findings of a model that takes clips for the other class, so surely."""
    said = stand.right() | {
        clip: 1 - p if stand.LABELS[clip] == "harmful" else p for clip, p in ({"h11": 0.9, "s7": 0.9} | sure).items()
    }
    return stand.found(folder, {"lite_cnn": said})


def test_of_many_errors_the_surest_are_shown_with_what_is_known_of_the_label_and_the_command_for_maps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = erring(tmp_path, s3=0.99, h0=0.95)
    text = page(wrong, tmp_path)
    assert shown(text, "error") == ["s3", "h0", "h11", "s7"]
    assert "Of 20 clips <bdi>lite_cnn</bdi>, the model with the highest balanced accuracy, gets 4 wrong;" in text
    assert "<span>labelled safe</span><span>taken for harmful</span><code>s3</code>" in text
    first, *_, last = text.partition('id="errors"')[2].partition("</section>")[0].split("</article>")[:-1]
    assert "Its label is not in doubt, nobody has heard it." in first
    assert "Its label is in doubt, nobody has heard it." in last
    assert "<code>earmark explain s3 --model lite_cnn</code>" in first
    assert re.search(r"<bdi>lite_cnn</bdi></td><td><bdi>harmful</bdi></td><td><bdi>0.99</bdi>", first)
    monkeypatch.setattr(pages, "ERRORS", 1)
    assert shown(page(wrong, tmp_path), "error") == ["s3"]


def test_a_model_without_an_error_is_said(tmp_path: Path) -> None:
    right = {clip: 0.9 if label == "harmful" else 0.1 for clip, label in stand.LABELS.items()}
    assert "It makes no error." in page(stand.found(tmp_path, {"lite_cnn": right}), tmp_path)


def test_the_clips_of_a_shortcut_are_listed_where_there_is_one(found: Findings, folder: Path) -> None:
    assert "make the shortcut" not in page(found, folder)
    told = found.shortcuts.assign(auc=0.8, where="codec mp3", label="safe")
    codecs = ["mp3" if clip in ("s1", "s2") else "wav" for clip in found.clips["clip_id"]]
    text = page(dataclasses.replace(found, shortcuts=told, clips=found.clips.assign(codec=codecs)), folder)
    listed = text.partition("The 2 clips that make the shortcut: ")[2].partition("</details>")[0]
    assert re.findall(r'<th scope="row">(\w+)</th><td>\w+.wav</td><td>safe</td><td>mp3</td>', listed) == ["s1", "s2"]


def test_why_there_are_no_suspects_is_said(found: Findings, folder: Path) -> None:
    none = dataclasses.replace(found, flags=found.flags.head(0))
    assert "No label is in doubt that nobody has heard." in page(none, folder)
    refused = dataclasses.replace(none, flagging={"label_issues": "refused", "why": "at chance <b>"})
    assert "the scores were not sound: at chance &lt;b&gt;." in page(refused, folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from start()


@pytest.fixture
def opened(browser: Any, found: Findings, folder: Path, tmp_path: Path) -> Any:
    """Return the browser with the hostile page open, from the disk."""
    files.write_text(page(hostile(found), folder), tmp_path / "index.html")
    browser.get_log("performance")
    browser.get((tmp_path / "index.html").as_uri())
    return browser


def requests(browser: Any) -> list[str]:
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]


@pytest.mark.slow
def test_the_page_opens_from_the_disk_and_plays_without_a_request_or_an_error(opened: Any) -> None:
    assert opened.title == "Where data and models stand"
    clip = opened.find_element("css selector", "article")
    opened.execute_script("arguments[0].focus()", clip)
    press(opened, " ")
    opened.execute_async_script("setTimeout(arguments[0], 600)")
    played = opened.execute_script("return arguments[0].querySelector('audio').currentTime", clip)
    assert played > 0
    press(opened, "\ue014")  # right: to the next clip, and the first one stops
    assert opened.switch_to.active_element.get_attribute("aria-labelledby") == "error2"
    press(opened, "\ue014")
    assert opened.switch_to.active_element.get_attribute("aria-labelledby") == "clip1"
    loaded = "const i = new Image(); i.onload = () => arguments[1](i.naturalWidth); i.onerror = () => arguments[1](0);"
    address = opened.find_element("css selector", "svg image").get_attribute("href")
    assert opened.execute_async_script(f"{loaded} i.src = arguments[0]", address) > 0
    assert {url.partition(":")[0] for url in requests(opened)} == {"file", "data"}
    assert opened.get_log("browser") == []


@pytest.mark.slow
def test_tab_leads_through_links_figures_and_players_and_space_scrolls_elsewhere(opened: Any) -> None:
    seen = []
    for _ in range(60):
        press(opened, "\ue004")
        seen.append(opened.switch_to.active_element.tag_name)
    assert seen.index("a") < seen.index("summary") < seen.index("article") < seen.index("audio")
    opened.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")
    press(opened, " ")
    opened.execute_async_script("setTimeout(arguments[0], 400)")
    assert opened.execute_script("return window.scrollY") > 0


@pytest.mark.slow
def test_a_screen_reader_finds_a_name_for_everything_and_a_table_for_every_picture(opened: Any) -> None:
    opened.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    for what in ("audio", "svg", "article", "nav", "section", ".wide", "summary"):
        names = [element.accessible_name for element in opened.find_elements("css selector", what)]
        assert names, what
        assert all(names), what
    assert opened.find_element("tag name", "html").get_attribute("lang") == "en"
    figures = opened.find_elements("tag name", "figure")
    assert all(figure.find_elements("tag name", "table") for figure in figures)
    headings = [heading.tag_name for heading in opened.find_elements("css selector", "h1, h2, h3")]
    assert headings == ["h1", *["h2"] * 5, "h3", "h3", "h2", "h3", "h3", "h2"]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark_and_fits_a_narrow_window(opened: Any, scheme: str) -> None:
    assert_readable(opened, scheme, marks=("s0", "s1", "s2", "s3"))
