"""The whole way of an answer, with a real Label Studio and a real browser."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import rows
import soundfile

from curation import files, page, send, tables

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install selenium")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=1200,780"),
    "--autoplay-policy=no-user-gesture-required",
)
CLIPS = [f"{number:016x}" for number in range(10)]
LABELS = dict(zip(CLIPS, ["harmful", "safe"] * 5, strict=True))
ASKED = [CLIPS[n] for n in (5, 2, 7, 0, 3, 6)]  # in this order; by name it would be another
PRESSED = {"2": "safe", "1": "harmful", "u": "unsure", "b": "bad_audio", "n": "none"}
DURATION_S = 8


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project as `dvc repro` leaves it, with six clips in the queue, and go there."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("Debian's packages chromium and chromium-driver are not installed")
    if not os.environ.get("EARMARK_LABEL_STUDIO"):
        pytest.skip("EARMARK_LABEL_STUDIO does not name the program `label-studio` of an installation")
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(rows.PARAMS, "params.yaml")
    queue = rows.table(tables.QUEUE, *({"clip_id": clip_id, "rank": n} for n, clip_id in enumerate(ASKED, 1)))
    for kind, frame in (
        (tables.CLIPS, rows.table(tables.CLIPS, *({"clip_id": clip_id} for clip_id in CLIPS))),
        (tables.LABELS, rows.labelled(tables.LABELS, **LABELS)),
        (tables.SCORES, rows.labelled(tables.SCORES, **LABELS)),
        (tables.FLAGS, tables.FLAGS.empty()),
        (tables.QUEUE, queue),
    ):
        tables.write(frame, Path("data") / kind.name, kind)
    write_tasks("blind")
    Path("data/clips").mkdir()
    for number, clip_id in enumerate(CLIPS):
        tone = 0.3 * np.sin(2 * np.pi * (300 + 100 * number) * np.arange(16_000 * DURATION_S) / 16_000)
        soundfile.write(f"data/clips/{clip_id}.wav", tone, 16_000, subtype="PCM_16")
    return tmp_path


def write_tasks(shown: Literal["blind", "hinted"]) -> None:
    queue = tables.read(Path("data/queue.csv"), tables.QUEUE)
    files.write_json(send.send(queue, send.Params.load("send"), shown=shown), Path("data/tasks.json"))


@contextmanager
def annotating() -> Iterator[tuple[dict[str, str], Callable[[], str]]]:
    """Run `earmark annotate`; yield its address, email and password, and a function that ends it by Ctrl-C."""
    command = [sys.executable, "-m", "curation.cli", "annotate", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as running:

        def stop() -> str:
            running.send_signal(signal.SIGINT)
            rest = running.communicate(timeout=60)[0]
            assert running.returncode == 0, rest
            return rest

        try:
            said = ""
            while "Ctrl-C" not in said:
                line = running.stdout.readline()
                assert line, f"ended with {running.wait()} after {said!r}"
                said += line
            found = re.search(r"log in as (?P<email>\S+) with (?P<password>\S+)(.|\n)*label at (?P<address>\S+)", said)
            yield found.groupdict(), stop
        finally:
            running.send_signal(signal.SIGTERM)


class Browser:
    """What a person does: look, listen, press keys."""

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for argument in (*CHROMIUM, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))

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

    def clip(self) -> str:
        return str(self.player("src")).rpartition("/")[2].removesuffix(".wav")

    def shows_duration(self) -> bool:
        """Say whether the page knows how long the clip is; before that it does not listen to keys."""
        return bool(self.driver.find_elements(By.CSS_SELECTOR, f"input[value='00:00:{DURATION_S:02}:000']"))

    def press(self, key: str) -> None:
        webdriver.ActionChains(self.driver).send_keys(key).perform()

    def submit(self) -> None:
        webdriver.ActionChains(self.driver).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()

    def chosen(self) -> bool:
        return bool(self.driver.find_elements(By.CSS_SELECTOR, "input[type=radio]:checked"))


@pytest.fixture
def browser(project: Path) -> Iterator[Browser]:
    found = Browser(project / "profile")
    yield found
    found.driver.quit()


def reviews() -> dict[str, tuple[str, str, str]]:
    found = tables.read(Path("data/reviews.csv"), tables.REVIEWS)
    return {row.clip_id: (row.answer, row.shown, row.note) for row in found.itertuples()}


@pytest.mark.slow
def test_five_clips_heard_and_answered_by_keyboard_are_in_the_reviews_and_do_not_come_back(browser: Browser) -> None:
    with annotating() as (said, stop):
        browser.log_in(said["address"], said["email"], said["password"])
        instructions = browser.close_instructions()
        assert "1 harmful for example 1, 2 2 safe for example 1, 2 u unsure" in " ".join(instructions.split())
        for number, (key, clip_id) in enumerate(zip(PRESSED, ASKED, strict=False)):
            browser.until(lambda clip_id=clip_id: browser.clip() == clip_id)
            browser.until(browser.shows_duration)
            assert browser.player("duration") == DURATION_S
            assert "guess" not in browser.text()
            assert not browser.chosen()
            if number == 0:
                assert browser.player("currentTime") == 0
                browser.press(" ")
                browser.until(lambda: browser.player("currentTime") > 1)
                browser.press(" ")
                browser.until(lambda: browser.player("paused"))
            browser.press(key)
            browser.until(browser.chosen)
            if number == 0:
                browser.driver.find_element(By.NAME, "note").send_keys("1 bird, no more", Keys.ENTER)
            browser.submit()
        browser.until(lambda: browser.clip() == ASKED[5])
        assert "5 new of 5" in (rest := stop())
        assert "Next: `git commit data/reviews.csv`" in rest
    expected = {clip_id: (answer, "blind", "") for clip_id, answer in zip(ASKED, PRESSED.values(), strict=False)}
    assert reviews() == expected | {ASKED[0]: ("safe", "blind", "1 bird, no more")}
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(params.replace("shown: blind", "shown: hinted"))
    write_tasks("hinted")
    with annotating() as (again, stop):
        assert (again["email"], again["address"]) == (said["email"], said["address"])
        browser.driver.get(again["address"])
        assert page.HINTED in browser.close_instructions()
        browser.until(lambda: browser.clip() == ASKED[5])
        browser.until(browser.shows_duration)
        browser.until(browser.chosen)
        browser.submit()
        browser.until(lambda: "All tasks in the queue have been completed" in browser.text())
        assert "1 new of 6" in stop()
    assert reviews()[ASKED[5]] == (LABELS[ASKED[5]], "hinted", "")
