from pathlib import Path

import httpx
import pytest
from fake_label_studio import KEY, URL

from curation import label_studio, playable

GOOD = {"content-type": "audio/x-wav", "content-range": "bytes 0-1023/256044"}


def found(reply: httpx.Response, address: str = "/data/local-files/?d=clips/a.wav", **options) -> dict[str, str]:
    server = label_studio.connect(options.get("url", URL), KEY, transport=httpx.MockTransport(lambda request: reply))
    return playable.unplayable(server, {"a": address}, options.get("clips"))


def test_a_range_of_a_sound_of_known_length_can_be_heard() -> None:
    assert found(httpx.Response(206, headers=GOOD)) == {}


@pytest.mark.parametrize(
    ("status", "headers", "why"),
    [
        (200, GOOD, "the server answers with 200 to a request for a range, not with 206"),
        (404, {}, "the server answers with 404 to a request for a range, not with 206"),
        (206, {**GOOD, "content-type": "text/html"}, "it is 'text/html', not audio"),
        (206, {**GOOD, "content-range": "bytes 0-1023/*"}, "its length is '*'"),
        (206, {**GOOD, "content-range": "bytes 0-43/44"}, "its length is '44'"),
    ],
)
def test_what_a_browser_could_not_play_is_named(status: int, headers: dict, why: str) -> None:
    assert found(httpx.Response(status, headers=headers)) == {"a": why}


def test_an_address_where_nobody_answers_is_named() -> None:
    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    server = label_studio.connect(URL, KEY, transport=httpx.MockTransport(down))
    assert playable.unplayable(server, {"a": "/a.wav"}, None) == {"a": "nobody answers (ConnectError)"}


def test_a_bucket_is_not_asked() -> None:
    assert found(httpx.Response(500), "s3://bucket/a.wav") == {}


def test_on_this_machine_the_files_are_looked_at_and_a_sample_is_asked_for(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(playable, "SAMPLED", 2)
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["d"])
        return httpx.Response(206, headers=GOOD)

    server = label_studio.connect("http://127.0.0.1:8080", KEY, transport=httpx.MockTransport(answer))
    for name in "abcd":
        (tmp_path / f"{name}.wav").write_bytes(b"\0" * (45 if name != "d" else 44))
    addresses = {name: f"/data/local-files/?d=clips/{name}.wav" for name in "abcde"}
    assert playable.unplayable(server, addresses, tmp_path) == {
        "d": f"{tmp_path}/d.wav holds no sound",
        "e": f"{tmp_path}/e.wav does not exist",
    }
    assert len(asked) == 3
