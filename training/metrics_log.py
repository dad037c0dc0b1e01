"""The metrics of a training while it runs, as DVCLive writes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from dvclive.live import Live
from scmrepo.exceptions import SCMError

from curation import files


@contextmanager
def log(folder: Path) -> Iterator[Live]:
    """Log the metrics of a training into `folder`.

    Raises:
        click.ClickException: the folder cannot be written, or the repository has no commit.
    """
    try:
        with Live(str(folder), save_dvc_exp=False, dvcyaml=None) as live:
            yield live
    except OSError as error:
        raise files.unwritable(folder, error) from error
    except SCMError as error:
        raise click.ClickException(
            f"DVCLive cannot tell the commit that its metrics belong to ({error}). "
            "In a new repository, run `git add --all` and `git commit` first, then `dvc repro` again."
        ) from error


def add(live: Live, metrics: dict[str, float]) -> None:
    """Log the metrics of one more epoch."""
    for name, value in metrics.items():
        live.log_metric(name, value)
    live.next_step()  # type: ignore[no-untyped-call]
