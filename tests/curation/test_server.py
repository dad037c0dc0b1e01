import fcntl
import os
import socket
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import click
import httpx
import needed
import pytest

from curation import server

MINE = server.Login("somebody@localhost", "secret", "0" * 40)
FAKE = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"  # sh runs this line, Python reads a text: the path may hold a space
'''
import http.server, os, sys
port = int(sys.argv[sys.argv.index("--port") + 1])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["LABEL_STUDIO_BASE_DATA_DIR"].encode())
{does}
"""
LISTENS = """\
serving = http.server.HTTPServer(("127.0.0.1", port + {shift}), Handler)
print(f"Starting development server at http://127.0.0.1:{{port + {shift}}}/", flush=True)
serving.serve_forever()
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that puts a small program in the place of `label-studio`."""

    def write(does: str) -> None:
        path = tmp_path / "label-studio"
        path.write_text(FAKE.format(python=sys.executable, does=does))
        path.chmod(0o700)
        monkeypatch.setenv("EARMARK_LABEL_STUDIO", str(path))

    return write


def get(url: str) -> str:
    return httpx.get(url, trust_env=False, timeout=30).text


def test_a_login_is_made_once_is_the_owners_only_and_no_two_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "config" / "login.json"
    first = server.login(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert server.login(path) == first
    other = server.login(tmp_path / "other.json")
    assert [a != b for a, b in zip(first, other, strict=True)] == [True, True, True]
    assert len(first.token) == 40
    assert len(first.password) >= 8


def test_a_file_that_is_no_login_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "login.json"
    path.write_text('{"email": "a@b"}')
    with pytest.raises(click.ClickException, match=r"login\.json is not the login that earmark wrote"):
        server.login(path)


def test_the_environment_calls_nobody_and_takes_nothing_from_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    leaks = {"USERNAME": "me", "HOST": "https://x", "DEBUG": "1", "LABEL_STUDIO_HOST": "y", "https_proxy": "http://z"}
    for name, value in leaks.items():  # Label Studio would take all of these for its own
        monkeypatch.setenv(name, value)
    found = server.environment(Path("/data"), Path("/project"), MINE)
    assert leaks.keys() & found.keys() == set()
    switches = ("COLLECT_ANALYTICS", "LATEST_VERSION_CHECK", "SENTRY_DSN", "FRONTEND_SENTRY_DSN")
    assert [found[f"LABEL_STUDIO_{name}"] for name in switches] == ["false", "false", "", ""]
    assert found["HTTPS_PROXY"] == found["HTTP_PROXY"] == "http://127.0.0.1:9"
    assert found["LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"] == "/project"
    assert found["LABEL_STUDIO_USER_TOKEN"] == MINE.token


def test_the_wanted_port_is_taken_when_it_is_free_and_another_when_it_is_not() -> None:
    with socket.socket() as taken:
        taken.bind((server.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = server.free_port(port)
        assert other not in {0, port}
    assert server.free_port(port) == port


def test_a_server_runs_while_the_block_lasts(tmp_path: Path, program) -> None:
    program(LISTENS.format(shift=0))
    with server.running(tmp_path / "data", tmp_path, MINE) as running:
        assert get(running.url) == str(tmp_path / "data")
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert running.process.poll() is not None


def test_a_second_server_on_the_same_data_is_refused_with_where_the_first_one_is(tmp_path: Path, program) -> None:
    program(LISTENS.format(shift=0))
    with server.running(tmp_path / "data", tmp_path, MINE) as running:
        where = rf"runs on .*data already \({running.url}, process {running.process.pid}\)"
        with pytest.raises(click.ClickException, match=where), server.running(tmp_path / "data", tmp_path, MINE):
            pass
        assert "Starting development server" in running.log.read_text()  # untouched by the second
    with server.running(tmp_path / "data", tmp_path, MINE):
        pass


def test_a_server_that_outlives_earmark_keeps_the_lock_and_a_dead_one_does_not(tmp_path: Path, program) -> None:
    program(LISTENS.format(shift=0))
    data = tmp_path / "data"
    code = f"""
import os
from pathlib import Path
from curation import server
with server.running(Path({str(data)!r}), Path({str(tmp_path)!r}), server.Login("a@b", "c", "d")) as running:
    print(running.process.pid, flush=True)
    os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    orphan = int(killed.stdout)
    with pytest.raises(click.ClickException, match=f"process {orphan}"), server.running(data, tmp_path, MINE):
        pass
    os.kill(orphan, 9)
    with (data / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until it is gone
    with server.running(data, tmp_path, MINE) as running:
        assert get(running.url)


def test_a_server_that_ends_is_told_with_the_last_lines_of_its_log(tmp_path: Path, program) -> None:
    program('sys.exit("no space left on device")')
    why = r"ended with 1; .*server\.log ends with\nno space left on device"
    with pytest.raises(click.ClickException, match=why), server.running(tmp_path / "data", tmp_path, MINE):
        pass


def test_a_server_that_takes_another_port_is_refused_and_ended(
    tmp_path: Path, program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "START_S", 2)
    program(LISTENS.format(shift=1))
    why = r"does not answer at http://127\.0\.0\.1:\d+; "
    with pytest.raises(click.ClickException, match=why), server.running(tmp_path / "data", tmp_path, MINE):
        pass
    with (tmp_path / "data" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody holds it: the process is gone


def test_waiting_ends_with_the_reason_when_the_server_ends(tmp_path: Path, program) -> None:
    program(LISTENS.format(shift=0).replace("serving.serve_forever()", "serving.handle_request()\nos.abort()"))
    with (
        server.running(tmp_path / "data", tmp_path, MINE) as running,
        pytest.raises(click.ClickException, match="ended with -6"),
    ):
        running.wait()


def test_data_that_cannot_be_kept_are_refused(tmp_path: Path, program) -> None:
    program(LISTENS.format(shift=0))
    (tmp_path / "file").touch()
    why = "file/data: cannot be written"
    with pytest.raises(click.ClickException, match=why), server.running(tmp_path / "file/data", tmp_path, MINE):
        pass


def test_a_named_program_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARMARK_LABEL_STUDIO", "/nowhere/label-studio")
    with pytest.raises(click.ClickException, match="/nowhere/label-studio is no file"):
        server.executable()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only place where pip may look, and give the user an empty home."""
    monkeypatch.delenv("EARMARK_LABEL_STUDIO", raising=False)
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path


@pytest.mark.slow
def test_the_server_is_installed_once_and_a_failed_installation_again(
    wheels: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(click.ClickException, match=r"cannot be installed .*EARMARK_LABEL_STUDIO"):
        server.executable()
    assert f"No matching distribution found for label-studio=={server.VERSION}" in capfd.readouterr().err
    info = f"label_studio-{server.VERSION}.dist-info"
    with zipfile.ZipFile(wheels / f"label_studio-{server.VERSION}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("label_studio.py", "def main():\n    print('hello')\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: label-studio\nVersion: {server.VERSION}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\nlabel-studio = label_studio:main\n")
        wheel.writestr(f"{info}/RECORD", "")
    program = server.executable()
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "hello\n"
    made = program.stat().st_mtime_ns
    assert server.executable().stat().st_mtime_ns == made


@pytest.mark.slow
def test_a_real_server_knows_its_user_also_the_second_time_and_after_the_login_was_lost(tmp_path: Path) -> None:
    needed.label_studio()
    mine, other = server.login(tmp_path / "one.json"), server.login(tmp_path / "two.json")
    for one in (mine, mine, other):
        with server.running(tmp_path / "data", tmp_path, one) as running:
            replies = [
                httpx.get(
                    f"{running.url}/api/current-user/whoami",
                    headers={"Authorization": f"Token {token}"},
                    trust_env=False,
                    timeout=60,
                )
                for token in (one.token, "f" * 40)
            ]
            assert replies[0].json()["email"] == one.email
            assert replies[1].status_code == 401
