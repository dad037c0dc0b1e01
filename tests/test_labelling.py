"""The whole way of an answer, with a real Label Studio of one's own and a real browser."""

import json
import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import annotating
import browser
import httpx
import needed
import pytest
from annotating import ASKED, CLIPS, DURATION_S, LABELS

from curation import files, label_studio, page, push, server

pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install selenium")
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync", "--window-size=1200,780")
PRESSED = {"2": "safe", "1": "harmful", "u": "unsure", "b": "bad_audio", "n": "none"}
OWN = {"data", "blob", "chrome", "chrome-untrusted"}  # schemes of what never leaves the browser
TIPS = "CONNECT raw.githubusercontent.com:443"  # what Label Studio asks for and has no switch for
WRAPPER = """\
#!/bin/sh
[ "$HTTP_PROXY $HTTPS_PROXY" = "{nowhere} {nowhere}" ] || exit 3
HTTP_PROXY={proxy} HTTPS_PROXY={proxy} exec {program} "$@"
"""
DRAWN = """
const canvas = document.querySelector('canvas'), [width, height] = [canvas.width / 2, canvas.height];
const pixels = (x, y, h) => {
  const {data} = canvas.getContext('2d').getImageData(x, height * y, width - 10, height * h);
  return [...Array(data.length / 4).keys()].map(n => data.slice(4 * n, 4 * n + 4).join());
};
const [left, right] = [5, width + 5];
return {
  wave: [left, right].map(x => pixels(x, 0.26, 0.1).filter(p => p.startsWith('149,149,149')).length),
  colours: [left, right].map(x => new Set(pixels(x, 0.6, 0.3)).size),
};
"""  # of the half with a tone, and of the silent one


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Return, filled as it goes, what the server asks of other machines: its dead proxy is one that listens."""
    lines: list[str] = []

    class Listener(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines.append(self.rfile.readline().decode().rpartition(" ")[0])

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Listener) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{proxy.server_address[1]}"
        wrapper = tmp_path / "label-studio"
        wrapper.write_text(WRAPPER.format(nowhere=server.NOWHERE, proxy=address, program=needed.label_studio()))
        wrapper.chmod(0o700)
        monkeypatch.setenv("EARMARK_LABEL_STUDIO", str(wrapper))
        yield lines
        proxy.shutdown()


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    annotating.write(tmp_path, monkeypatch)
    yield from browser.start(*CHROMIUM, f"--user-data-dir={tmp_path / 'profile'}")


class Person:
    """What a person does: look, listen, press keys."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def until(self, look: Callable[[], object]) -> object:
        return WebDriverWait(self.driver, 60).until(lambda _: look())

    def log_in(self, address: str, email: str, password: str) -> None:
        self.driver.get(address)
        self.driver.find_element(By.NAME, "email").send_keys(email)
        self.driver.find_element(By.NAME, "password").send_keys(password, Keys.ENTER)

    def close_instructions(self) -> str:
        self.until(lambda: "Labeling Instructions" in self.text())
        said = self.text()
        self.press(Keys.ESCAPE)
        self.until(lambda: "Labeling Instructions" not in self.text())
        return said

    def text(self) -> str:
        return str(self.driver.execute_script("return document.body?.innerText"))

    def player(self, name: str) -> object:
        """Return a property of the player of the clip; an example in the instructions has none."""
        return self.driver.execute_script(f"return document.querySelector('audio')?.{name}")

    def sees(self, clip_id: str) -> None:
        """Wait for this clip, and until the page knows how long it is; before that it does not listen to keys."""
        duration = f"input[value='00:00:{DURATION_S:02}:000']"
        self.until(lambda: str(self.player("src")).endswith(f"/{clip_id}.wav"))
        self.until(lambda: self.driver.find_elements(By.CSS_SELECTOR, duration))

    def press(self, key: str) -> None:
        ActionChains(self.driver).send_keys(key).perform()

    def press_with_control(self, key: str) -> None:
        ActionChains(self.driver).key_down(Keys.CONTROL).send_keys(key).key_up(Keys.CONTROL).perform()

    def chosen(self) -> bool:
        return bool(self.driver.find_elements(By.CSS_SELECTOR, "input[type=radio]:checked"))

    def drawn(self) -> dict[str, list[int]]:
        """Return the grey of the waveform and the colours of the spectrogram, in the first half and in the second."""
        found: dict[str, list[int]] = self.driver.execute_script(DRAWN)
        return found


def where(address: str) -> tuple[str, str, str]:
    """Return the server, the number of the project, and the key."""
    token = json.loads(Path("home/earmark/label-studio.json").read_text())["token"]
    return *re.fullmatch(r"(.+)projects/(\d+)/.+", address).groups(), token


def pushed(address: str, tasks: list[dict]) -> str:
    """Push these tasks instead of the queue; return what was done."""
    url, _, token = where(address)
    files.write_json(tasks, Path("data/tasks.json"))
    return str(push.push_folder(Path("data"), label_studio.connect(url, token)))


def guesses(address: str) -> dict[str, str]:
    """Return what a model has guessed of the clips on the server."""
    url, project, token = where(address)
    listing = {"project": project, "fields": "all", "include": "data,predictions_results"}
    headers = {"Authorization": f"Token {token}"}
    tasks = httpx.get(f"{url}api/tasks/", params=listing, headers=headers, trust_env=False, timeout=60).json()["tasks"]
    return {task["data"]["clip_id"]: re.findall(r"choices: \[(\w+)\]", task["predictions_results"]) for task in tasks}


def hosts(driver: Any) -> set[str | None]:
    """Return the machines that the browser has asked."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    asked += [event["params"]["url"] for event in events if event["method"] == "Network.webSocketCreated"]
    parts = map(urlsplit, asked)
    return {one.hostname for one in parts if one.scheme not in OWN}


@pytest.mark.slow
def test_clips_heard_and_answered_by_keyboard_are_in_the_reviews_and_do_not_come_back(
    called: list[str], driver: Any
) -> None:
    person, login = Person(driver), re.compile(r"log in as (\S+) with (\S+)(?:.|\n)*label at (\S+)")
    with annotating.annotating() as (said, stop):
        email, password, address = login.search(said).groups()
        person.log_in(address, email, password)
        instructions = person.close_instructions()
        assert "1 harmful for example 1, 2 2 safe for example 1 u unsure" in " ".join(instructions.split())
        assert guesses(address) == {clip_id: [LABELS[clip_id]] for clip_id in ASKED}
        for number, (key, clip_id) in enumerate(zip(PRESSED, ASKED, strict=False)):
            person.sees(clip_id)
            assert person.player("duration") == DURATION_S
            assert "guess" not in person.text()
            assert not person.chosen()
            if number == 0:
                assert person.player("currentTime") == 0
                assert person.drawn()["wave"][0] > 1000 > person.drawn()["wave"][1]
                person.press(" ")
                person.until(lambda: person.player("currentTime") > 1)
                person.press(" ")
                person.until(lambda: person.player("paused"))
                person.until(lambda: person.drawn()["colours"][0] > 100)  # Label Studio draws it when the clip plays
                assert person.drawn()["colours"][1] < person.drawn()["colours"][0] / 2
            person.press(key)
            person.until(person.chosen)
            if number == 0:
                driver.find_element(By.NAME, "note").send_keys("1 bird, no more", Keys.ENTER)
            person.press_with_control(Keys.ENTER)
        person.sees(ASKED[5])
        person.press_with_control(" ")
        person.sees(ASKED[6])
        tasks = json.loads(Path("data/tasks.json").read_text())
        another = json.loads(json.dumps(tasks[6]).replace(ASKED[6], CLIPS[8]))
        assert "0 made, 0 changed, 1 withdrawn" in pushed(address, tasks[:6])
        assert "1 made, 0 changed, 0 withdrawn" in pushed(address, [*tasks[:6], another])
        person.press("1")
        person.until(person.chosen)
        person.press_with_control(Keys.ENTER)
        person.until(lambda: "Annotation is not saved" in person.text())
        assert "1 made, 0 changed, 1 withdrawn" in pushed(address, tasks)  # nobody has answered the other one
        assert "6 new of 6" in (rest := stop())
        assert "Next: `git commit data/reviews.csv`" in rest
    expected = {clip_id: (answer, "blind", "") for clip_id, answer in zip(ASKED, PRESSED.values(), strict=False)}
    expected |= {ASKED[0]: ("safe", "blind", "1 bird, no more"), ASKED[5]: ("skipped", "blind", "")}
    assert annotating.reviews() == expected
    annotating.set_params(shown="hinted")
    annotating.write_tasks("hinted")
    with annotating.annotating() as (again, stop):
        assert login.search(again).groups() == (email, password, address)
        driver.get(address)
        assert page.HINTED in person.close_instructions()
        person.sees(ASKED[6])
        person.until(person.chosen)
        person.press_with_control(Keys.ENTER)
        person.until(lambda: "All tasks in the queue have been completed" in person.text())
        assert "1 new of 7" in stop()
    assert annotating.reviews() == expected | {ASKED[6]: (LABELS[ASKED[6]], "hinted", "")}
    assert hosts(driver) == {"127.0.0.1"}
    assert set(called) == {TIPS}
