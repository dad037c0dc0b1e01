import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bursts
import pandas as pd
import pytest
import rows
import torch
import yaml
from browser import start
from click.testing import CliRunner, Result
from safetensors.torch import save_model

from training import explain, views

STARTS = {letter * 16: start for letter, start in zip("abcdef", (0.7, None, 0.2, None, 0.4, None), strict=True)}
EVIL = "</script><script>document.title='broken'</script>'\"><img src=x onerror=alert(1)>.ogg"
CLIPS = pd.DataFrame(
    {
        "clip_id": ["0a1e2dd3634ac61a", "0a1effffffffffff", "7c591265e360a660", "7d00000000000000"],
        "file": ["dog/1.wav", "dog/long.wav", "dog/long.wav", "cat/2.wav"],
    }
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    bursts.write(tmp_path, "lite_cnn", bursts.learnt("lite_cnn"), STARTS)
    document = yaml.safe_load(rows.PARAMS.read_text())
    document["data"] |= {"classes": [*bursts.CLASSES], "clip_s": bursts.CLIP_S, "rate_hz": bursts.RATE_HZ}
    document["mel"] = bursts.MEL.model_dump()
    for name in ("lite_cnn", "wav2vec2"):
        document[name]["augment"]["crop_s"] = 0.5
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(explain.main, arguments)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["7c591265e360a660"], [2]),
        (["0a1e2"], [0]),
        (["dog/long.wav"], [1, 2]),
        (["data/raw/cat/2.wav", "7d", "0a1e2"], [3, 0]),
    ],
    ids=["id", "beginning", "recording of two clips", "path, and one clip named twice"],
)
def test_a_clip_is_named_by_id_by_its_beginning_or_by_recording(wanted: list[str], found: list[int]) -> None:
    assert explain.chosen(wanted, CLIPS) == CLIPS["clip_id"].iloc[found].tolist()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0a1e", "0a1e is the beginning of 2 clips: 0a1e2dd3634ac61a, 0a1effffffffffff. Type more of it."),
        ("dog/1.wve", "Near it: dog/1.wav"),
        ("1.wav", "Near it: .*dog/1.wav"),
        ("0a1e2dd3634ac61b", "Near it: 0a1e2dd3634ac61a"),
        ("", "'' is no clip"),
        ("|||", "data/clips.csv lists them"),
    ],
)
def test_a_name_that_is_of_no_clip_or_of_several_is_refused_with_what_is_near(name: str, message: str) -> None:
    with pytest.raises(explain.click.ClickException, match=message):
        explain.chosen([name], CLIPS)


def test_the_most_confident_error_comes_first_and_unlabelled_clips_are_none() -> None:
    said = {clip_id: {"x": p, "y": 1 - p} for clip_id, p in (("a", 0.6), ("b", 0.9), ("c", 0.2), ("d", 0.9), ("e", 1))}
    assert explain.worst(said, {"a": "y", "b": "y", "c": "y", "d": "x", "e": ""}) == ["b", "a"]


def test_the_page_names_where_the_burst_is(project: Path) -> None:
    predictions = project / "data/predictions/lite_cnn.csv"
    swapped = predictions.read_text().replace("0.1", "x").replace("0.9", "0.1").replace("x", "0.9")
    predictions.write_text(swapped)  # now it says of every clip that it has a burst
    done = run("aaaa", "--out", "page.html")
    assert done.exit_code == 0, done.output
    assert done.stdout == "explain: page.html\n"
    text = Path("page.html").read_text()
    assert "The model says <b>burst</b>, with probability 0.90; the label is <b>burst</b>." in text
    assert "So this map says nothing" not in text
    spans = re.findall(r"The model looked most at (\S+) to (\S+) s, (\S+) to (\S+) kHz", text)
    assert len(spans) == 3
    for start_s, end_s, low_khz, high_khz in spans:
        assert float(start_s) < 0.83 < float(end_s)
        assert float(low_khz) <= 1.5 <= float(high_khz)


def test_a_map_whose_peak_matters_no_more_than_other_places_is_called_so(project: Path) -> None:
    model = bursts.new("lite_cnn").eval()
    with torch.no_grad():
        model.head[1].weight.zero_()  # says the same of every sound
        model.head[1].bias.zero_()
    save_model(model, project / "models/lite_cnn/fold_0.safetensors")
    run("aaaa", "--out", "page.html")
    text = Path("page.html").read_text()
    assert text.count("So this map says nothing of this clip.") + text.count("Nothing in this sound speaks for") == 3


def test_without_a_name_the_worst_errors_are_shown(project: Path) -> None:
    assert run().exit_code == 0
    text = Path("explain.html").read_text()
    assert "The worst 3 of 3 errors, the most confident first." in text
    assert re.findall(r"<code>(.)\1{15}</code>", text) == ["a", "c", "e"]


def test_a_model_without_an_error_is_said(project: Path) -> None:
    labels = project / "data/labels.csv"
    labels.write_text(labels.read_text().replace("burst", "noise"))
    done = run()
    assert (done.exit_code, "makes no error. Name clips" in done.output) == (1, True)


def test_the_page_is_one_file_without_network_and_the_same_each_time(project: Path) -> None:
    texts = []
    for _ in range(2):
        run("--out", "page.html")
        texts.append(Path("page.html").read_text())
    assert texts[0] == texts[1]
    assert set(re.findall(r'(?:src|href)="(.{5})', texts[0])) == {"data:"}
    assert "default-src 'none'" in texts[0].replace("&#39;", "'")


def test_no_name_of_a_recording_becomes_markup(project: Path) -> None:
    clips = project / "data/clips.csv"
    clips.write_text(clips.read_text().replace("a" * 16 + ".ogg", '"' + EVIL.replace('"', '""') + '"'))
    for arguments in (["aaaa"], ["--augment", "aaaa"]):
        assert run(*arguments, "--out", "page.html").exit_code == 0
        text = Path("page.html").read_text()
        assert (text.count("<script>"), text.count("<img"), text.count("&lt;img")) >= (1, 0, 1)
        assert text.count("<script>") == 1
        assert "<img" not in text


def test_augment_shows_the_clip_and_views_for_both_models_and_needs_no_model(project: Path) -> None:
    shutil.rmtree(project / "models")
    assert run("--augment", "aaaa", "--out", "page.html").exit_code == 0
    text = Path("page.html").read_text()
    # what params.yaml asks for
    alone = {"lite_cnn": ["speeds", "mask_bands", "mask_s"], "wav2vec2": ["speed", "snr_db"]}
    assert text.count("<audio") == 1 + 2 * views.VIEWS + 3 + 2
    assert text.count("<small>sound made from the picture</small>") == views.VIEWS + 3
    for model, steps in alone.items():
        assert re.findall(rf"{model}, (\w+): [^<]* alone", text) == steps


def test_augment_without_a_clip_is_refused(project: Path) -> None:
    done = run("--augment")
    assert (done.exit_code, "name one" in done.output) == (2, True)


def test_an_unknown_clip_and_a_missing_model_are_one_line(project: Path) -> None:
    for arguments, message in ((["zzzz"], "'zzzz' is no clip"), (["--model", "wav2vec2"], "does not exist")):
        done = run(*arguments)
        assert (done.exit_code, done.output.count("\n")) == (1, 1)
        assert message in done.output


@pytest.fixture
def browser() -> Iterator[Any]:
    yield from start()


@pytest.mark.slow
def test_one_can_type_through_the_page_and_a_screen_reader_hears_where_the_model_looked(
    project: Path, browser: Any
) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    run("--out", "page.html")
    browser.get((project / "page.html").as_uri())
    names = [picture.accessible_name for picture in browser.find_elements("css selector", "svg.player")]
    assert [name.split(",")[0].split(" ")[0] for name in names[:4]] == ["Mel", "occlusion", "SHAP", "Grad-CAM"]
    assert all(
        re.search("(?i)the model looked most at|nothing in this sound", name) for name in names if "Mel" not in name
    )
    assert all(player.accessible_name for player in browser.find_elements("tag name", "audio"))
    for key in ("\ue014", "\ue014", " "):  # right, right, space
        ActionChains(browser).send_keys(key).perform()
    browser.execute_async_script("setTimeout(arguments[0], 300)")
    assert browser.switch_to.active_element.find_element("tag name", "code").text == "c" * 16
    played = "return [...document.querySelectorAll('audio')].map(a => a.currentTime > 0)"
    assert browser.execute_script(played) == [False, True, False]
    width = "return document.documentElement.scrollWidth <= innerWidth"
    assert browser.execute_script(width)
    assert browser.get_log("browser") == []
