"""Run a Label Studio of one's own on this machine: installed on first use, on loopback only, silent to the world."""

import fcntl
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

import click
import httpx
import platformdirs
from tqdm import tqdm

from curation import files

VERSION = "1.23.2"  # of label-studio; what earmark has been tested with
HOST = "127.0.0.1"
PORT = 8080  # when it is free: bookmarks and sessions of the browser go on
START_S = 600  # a first start takes about 50 s on two cores
STOP_S = 20
STDERR = 2
NOWHERE = "http://127.0.0.1:9"  # the discard port: what goes through this proxy goes nowhere
KEPT = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ")  # Label Studio would take USERNAME, HOST or DEBUG for its own


class Login(NamedTuple):
    """Who one is on the own server."""

    email: str
    password: str
    token: str


class Server(NamedTuple):
    """A running server: where, its process, and what it says."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def wait(self) -> NoReturn:
        """Wait as long as the server runs; it should not end by itself."""
        self.process.wait()
        raise _failure(self.process, self.url, self.log)


def executable() -> Path:
    """Return the program `label-studio`: that of EARMARK_LABEL_STUDIO, else our own, installed when it is not there.

    Raises:
        click.ClickException: there is no such program, or it cannot be installed.
    """
    if named := os.environ.get("EARMARK_LABEL_STUDIO"):
        if not Path(named).is_file():
            raise click.ClickException(f"EARMARK_LABEL_STUDIO: {named} is no file. It must name the `label-studio`.")
        return Path(named).absolute()
    folder = platformdirs.user_data_path("earmark") / f"label-studio-{VERSION}"
    if not (folder / "ready").exists():
        _install(folder)
    return folder / "bin" / "label-studio"


def _install(folder: Path) -> None:
    """Make an environment of its own: Label Studio asks for older versions of what earmark needs."""
    click.echo(f"Label Studio {VERSION} is installed into {folder}: once, about 1 GB, 1 to 3 minutes.", err=True)
    python = folder / "bin" / "python"
    steps = (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "--disable-pip-version-check", f"label-studio=={VERSION}"],
    )
    for step in steps:
        if subprocess.run(step, stdout=STDERR, check=False).returncode:  # noqa: S603 - no shell, fixed programs
            raise click.ClickException(
                f"Label Studio cannot be installed into {folder}; why, stands above. Mend that and run the same "
                "command again, or name the `label-studio` of another installation in EARMARK_LABEL_STUDIO."
            )
    (folder / "ready").touch()


def login(path: Path) -> Login:
    """Return the login in the file `path`, readable by its owner only; the first time a new one.

    Raises:
        click.ClickException: the file is no login, or it cannot be written.
    """
    if not path.exists():
        name = f"annotator-{secrets.token_hex(3)}"
        mine = Login(f"{name}@localhost", secrets.token_urlsafe(9), secrets.token_hex(20))
        with files.replacing(path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_text(json.dumps(mine._asdict(), indent=2) + "\n", encoding="utf-8")
    try:
        return Login(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise click.ClickException(f"{path} is not the login that earmark wrote there ({error}).") from error


def annotator(email: str) -> str:
    """Return the name in an address that `login` made, empty: it is another's.

    On a server of their own everybody is user 1: only the name tells them from others.
    """
    found = re.fullmatch(r"(annotator-[0-9a-f]{6})@localhost", email)
    return found[1] if found else ""


def environment(data: Path, root: Path, mine: Login) -> dict[str, str]:
    """Return the environment of a server that keeps its data in `data`, serves `root`, and calls nobody.

    Usage reports, version checks and Sentry have switches; what has none (tips on the home page) meets a dead proxy.
    """
    ours = {
        "BASE_DATA_DIR": str(data),
        "LOCAL_FILES_SERVING_ENABLED": "true",
        "LOCAL_FILES_DOCUMENT_ROOT": str(root),
        "USERNAME": mine.email,
        "PASSWORD": mine.password,
        "USER_TOKEN": mine.token,
        "ENABLE_LEGACY_API_TOKEN": "true",
        "DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    homes = {f"XDG_{kind}_HOME": str(data / kind.lower()) for kind in ("CONFIG", "DATA", "CACHE")}
    nowhere = {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "NO_PROXY": f"{HOST},localhost"}
    prefixed = {f"LABEL_STUDIO_{name}": value for name, value in ours.items()}
    return kept | homes | nowhere | prefixed | {"DJANGO_DB": "sqlite", "PYTHONUNBUFFERED": "1"}


def free_port(wanted: int = PORT) -> int:
    """Return `wanted` if no program listens there on loopback, else a port that is free."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left is free
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise click.ClickException(f"No port is free on {HOST}. End some programs and run the same command again.")


@contextmanager
def running(data: Path, root: Path, mine: Login) -> Iterator[Server]:
    """Run the server while the block lasts, with its data in `data` and the files below `root` to be heard.

    The lock on the data is the server's own: it ends with it, however that ends, so no file can claim a server that
    is not there.

    Raises:
        click.ClickException: it does not start, or another one runs on the same data.
    """
    program = executable()
    with _lock(data) as lock:
        url = f"http://{HOST}:{free_port()}"
        log = data / "server.log"
        child = _start(program, url, log, environment(data.resolve(), root.resolve(), mine), lock)
        try:
            lock.truncate(0)
            lock.write(f"{url}, process {child.pid}")
            lock.flush()
            _wait(child, url, log)
            yield Server(url, child, log)
        finally:
            _end(child)


@contextmanager
def _lock(data: Path) -> Iterator[IO[str]]:
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (data / "lock").open("a+")
    except OSError as error:
        raise files.unwritable(data, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise click.ClickException(
                f"A Label Studio runs on {data} already ({lock.read() or 'it is starting'}). "
                "Go on there, or end it and run the same command again."
            ) from error
        yield lock


def _start(program: Path, url: str, log: Path, variables: dict[str, str], lock: IO[str]) -> subprocess.Popen[bytes]:
    port = url.rpartition(":")[2]
    command = [str(program), "start", "--no-browser", "--internal-host", HOST, "--port", port, "--log-level", "WARNING"]
    with log.open("wb") as lines:
        return subprocess.Popen(  # noqa: S603 - no shell
            command,
            cwd=log.parent,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=subprocess.STDOUT,
            pass_fds=[lock.fileno()],
            start_new_session=True,  # Ctrl-C is for earmark, which still has answers to fetch
        )


def _wait(child: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until `child` itself listens at `url` and is well: when the port is taken it would go to another one."""
    for _ in _clock("Label Studio starts (the first time about a minute)", START_S):
        if child.poll() is not None:
            break
        if f"server at {url}/" not in log.read_text(encoding="utf-8", errors="replace"):
            continue
        with suppress(httpx.HTTPError):
            if httpx.get(f"{url}/health", timeout=5, trust_env=False).is_success:
                return
    raise _failure(child, url, log)


def _failure(child: subprocess.Popen[bytes], url: str, log: Path) -> click.ClickException:
    why = f"does not answer at {url}" if child.poll() is None else f"ended with {child.returncode}"
    return click.ClickException(
        f"Label Studio {why}; {log} ends with\n{_tail(log)}\n"
        "What was answered is kept; mend that and run the same command again."
    )


def _clock(what: str, limit_s: float) -> Iterator[None]:
    """Yield some times a second until `limit_s` have passed, with the time on the screen."""
    begun = time.monotonic()
    with tqdm(desc=what, bar_format="{desc}: {elapsed}", leave=False, mininterval=1) as line:
        while time.monotonic() < begun + limit_s:
            yield
            time.sleep(0.2)
            line.update()


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the process and all it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(STOP_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _tail(log: Path, n: int = 8) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-n:])
