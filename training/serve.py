"""Serve a trained model to a Label Studio, as its ML backend, and pull when people have answered."""

import contextlib
import ipaddress
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import click
import platformdirs
import torch

from curation import files, label_studio, pull
from training import live

try:
    import uvicorn

    from training import backend
except ModuleNotFoundError as error:
    if error.name not in {"fastapi", "uvicorn"}:
        raise
    raise click.ClickException(
        f"`earmark serve` needs {error.name}, which is not installed: `pip install -e '.[serve]'` in this folder."
    ) from error

TOKEN = "EARMARK_SERVE_TOKEN"  # noqa: S105 - the name of the variable
QUIET_S = 2  # after a hint, before a pull: answers come in bursts


class Puller:
    """Pulls soon after a hint, one pull at a time; hints that come meanwhile lead to one more."""

    def __init__(self, pull_once: Callable[[], str]) -> None:
        self._pull_once = pull_once
        self._hinted = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def hint(self) -> None:
        """Ask for a pull; return at once."""
        self._hinted.set()

    def _run(self) -> None:
        while self._hinted.wait():
            time.sleep(QUIET_S)
            self._hinted.clear()
            pull = threading.Thread(target=self._pull, daemon=True)  # a fault of ours ends it alone, with a traceback
            pull.start()
            pull.join()

    def _pull(self) -> None:
        try:
            click.echo(f"pull: {self._pull_once()}", err=True)
        except (click.ClickException, OSError) as error:
            click.echo(f"serve: not pulled: {error}", err=True)


def read_token(path: Path) -> tuple[str, str]:
    """Return the token, of the environment, else of the file `path`, made the first time; and where it stands.

    Raises:
        click.ClickException: it is too short or has characters that no header can hold.
    """
    token, where = os.environ.get(TOKEN, ""), TOKEN
    if not token:
        where = str(path)
        if not path.exists():
            with files.replacing(path) as temporary:
                temporary.touch(mode=0o600)
                temporary.write_text(secrets.token_urlsafe(24) + "\n", encoding="ascii")
        token = path.read_text(encoding="utf-8", errors="replace").strip()
    if not re.fullmatch(r"[!-~]{16,}", token):
        raise click.ClickException(
            f"{where}: a token has 16 or more letters, digits or signs of ASCII, without spaces."
        )
    return token, where


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; warn when others than this machine reach it.

    Raises:
        click.ClickException: it cannot.
    """
    try:
        found = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise click.ClickException(
            f"{host}, port {port}: cannot be listened at ({error.strerror}). Name others by --host and --port."
        ) from error
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # its connections inherit it; saves 40 ms a request
    if not ipaddress.ip_address(found.getsockname()[0]).is_loopback:
        click.echo("serve: other machines reach this, and the token travels in clear: use a proxy with TLS.", err=True)
    return found


def _refuse_blind() -> None:
    if label_studio.Params.load("label_studio").shown == "blind":
        raise click.ClickException(
            "`label_studio.shown` in params.yaml is `blind`: annotators see no guess of a model, and this would show "
            "them one. Set it to `hinted` and `earmark push`, if they shall: their answers are stored as hinted then."
        )


@click.command()
@click.option("--model", type=click.Choice(list(live.MODELS)), default="lite_cnn", show_default=True, help="Which one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9090,
    show_default=True,
    help="The port to listen at; 0: a free one.",
)
@click.option("--data", type=click.Path(path_type=Path), default="data", show_default=True, help="Tables and clips.")
@click.option("--models", type=click.Path(path_type=Path), default="models", show_default=True, help="Trained models.")
@click.option(
    "--metrics",
    type=click.Path(path_type=Path),
    default="reports/metrics.json",
    show_default=True,
    help="Has the temperature.",
)
def main(model: str, host: str, port: int, data: Path, models: Path, metrics: Path) -> None:
    r"""Serve a trained model to a Label Studio, as its ML backend, until Ctrl-C.

    A project has to be hinted (`label_studio.shown`). Every request needs the token of EARMARK_SERVE_TOKEN, or the one
    that is made and kept in your configuration folder. Webhooks about answers lead to `earmark pull`.

    \b
    Examples:
        earmark serve
        earmark serve --model wav2vec2 --port 9091

    Exit status: 0 ended by Ctrl-C, 1 refused.
    """
    _refuse_blind()
    latest = live.Latest(models / model, data / "predictions" / f"{model}.csv", data / "folds.csv", metrics)
    torch.set_num_threads(1)  # requests run side by side; a small model gains little from a second thread
    version = latest().version
    token, where = read_token(platformdirs.user_config_path("earmark") / "serve-token")
    puller = Puller(lambda: pull.pull_and_write(data / "clips.csv", data))
    answering = backend.app(latest, data / "clips", token, puller.hint)
    with listen(host, port) as open_socket:
        address = f"[{host}]" if ":" in host else host
        url = f"http://{address}:{open_socket.getsockname()[1]}"
        click.echo(f"serve: {version} at {url}; user {backend.USER}, password in {where}")
        # without lifespan events FastAPI sets up no telemetry
        config = uvicorn.Config(answering, log_level="warning", access_log=False, server_header=False, lifespan="off")
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[open_socket])


if __name__ == "__main__":
    main()
