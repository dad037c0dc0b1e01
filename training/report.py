"""Report on two pages how good the models are, why perhaps, and what to do next."""

from collections.abc import Callable
from pathlib import Path

import click

from curation import files, params
from training import causes, findings, insights, page

INPUTS = {
    "clips": "The clips.",
    "rejects": "What is no clip, and why.",
    "reviews": "People's answers.",
    "labels": "Today's labels.",
    "groups": "What must not be split.",
    "folds": "The fold of every clip.",
    "scores": "Out-of-fold probabilities.",
    "flags": "The clips in doubt.",
    "flagging": "Whether labels could be doubted.",
    "shortcuts": "What tells the label unheard.",
    "ablations": "What less data and worse labels cost.",
    "queue": "What people hear next.",
    "train": "What the models were trained on.",
    "predictions": "Folder with the predictions, a table a model.",
    "metrics": "The evidence on the models.",
    "repeats": "What other divisions into folds give.",
    "shifts": "What the models are worth on changed clips.",
    "robustness": "Their worst cases and slopes.",
    "plots": "Folder with the tables to plot, one a model.",
    "live": "Folder with the training curves, one a model.",
    "audio": "The sound of the clips.",
}


def _inputs(command: Callable[..., None]) -> Callable[..., None]:
    for name, meaning in reversed(INPUTS.items()):
        command = click.option(f"--{name}", type=click.Path(path_type=Path), required=True, help=meaning)(command)
    return command


@click.command()
@_inputs
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the page for a terminal goes.")
@click.option("--page", "html", type=click.Path(path_type=Path), required=True, help="Where the page to click goes.")
def main(out: Path, html: Path, audio: Path, **inputs: Path) -> None:
    """Write where data and models stand, for a terminal and for a browser."""
    data = params.Data.load("data")
    found = findings.read(inputs, data.classes)
    weighed = causes.causes(found)
    files.write_text(insights.insights(found, weighed), out)
    files.write_text(page.page(found, weighed, audio, rate_hz=data.rate_hz), html)
    click.echo(f"report: {out}, {html}")


if __name__ == "__main__":
    main()
