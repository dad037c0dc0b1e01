"""Have people listen: a Label Studio with the queue in it, until Ctrl-C brings their answers home."""

import os
import signal
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import platformdirs

from curation import label_studio, pull, push, server
from curation.connection import Refused

EPILOG = """\b
With LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY in the environment this is your
team's server; else one on this machine, for you alone. The first time that
one is installed (1 to 3 minutes, 1 GB).

\b
Examples:
  earmark annotate                 until Ctrl-C
  earmark annotate --no-browser    on a machine without one

\b
Exit status: 0 answers fetched; 1 refused; 130 interrupted before there was
anything to fetch. Nothing is lost: the same command goes on.
"""


@click.command(epilog=EPILOG)
@click.option(
    "--browser/--no-browser", default=True, show_default="browser", help="Open the address, or print it only."
)
@click.option(
    "--data", type=click.Path(path_type=Path), default="data", show_default=True, help="Where tables and clips are."
)
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    default=".label-studio",
    show_default=True,
    help="Where the server on this machine keeps its data.",
)
@click.pass_context
def main(context: click.Context, browser: bool, data: Path, home: Path) -> None:
    """Start labelling in the browser; Ctrl-C ends it and brings the answers into data/reviews.csv."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # to end the server in every case
    with _server(data / "clips", home) as (found, folder, wait):
        receipt = push.push_folder(data, found, folder)
        click.echo(f"push: {receipt}")
        if receipt.warning and receipt.sent.empty:
            raise Refused(receipt.warning)
        if receipt.warning:
            click.echo(f"push: {receipt.warning}", err=True)
        click.echo(
            f"annotate: label at {receipt.label_at}\nCtrl-C here, when you have had enough, fetches the answers."
        )
        if browser:
            webbrowser.open(receipt.label_at)
        try:
            wait()
        except KeyboardInterrupt:
            click.echo()
        context.invoke(pull.main, clips=data / "clips.csv", data=data)
    click.echo(f"Next: `git commit {data / 'reviews.csv'}` keeps the answers, `dvc repro` learns from them.")


@contextmanager
def _server(folder: Path, home: Path) -> Iterator[tuple[label_studio.Server, str, Callable[[], object]]]:
    """Yield the server, the folder of clips that it has to be told of, and what waits until it ends."""
    if team := label_studio.from_environment():
        yield team, "", signal.pause
        return
    if not folder.is_dir():
        raise click.ClickException(f"{folder} does not exist. `dvc repro` makes it.")
    mine = server.login(platformdirs.user_config_path("earmark") / "label-studio.json")
    with server.running(home, folder.parent, mine) as own, _environment(own.url, mine.token):
        click.echo(f"annotate: log in as {mine.email} with {mine.password}")
        yield label_studio.connect(own.url, mine.token), str(folder.resolve()), own.wait


@contextmanager
def _environment(url: str, token: str) -> Iterator[None]:
    """Make the server on this machine the one of `earmark push` and `pull`."""
    direct = ",".join(filter(None, (os.environ.get("no_proxy", os.environ.get("NO_PROXY")), server.HOST)))
    before = dict(os.environ)
    os.environ.update(LABEL_STUDIO_URL=url, LABEL_STUDIO_API_KEY=token, no_proxy=direct)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
