"""Ask of each method of `earmark explain` whether its maps depend on the model, and name what the model goes by.

python bench/explain.py [--project FOLDER] [--clips N] [--out FILE]       FOLDER: a project after `dvc repro`
"""

import copy
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import nn

from curation import files
from training import attribution, explanation, live
from training.attribution import Map
from training.heard import Heard

TRIED = {
    "lite_cnn": ("Grad-CAM", "SHAP", "integrated gradients", "occlusion"),
    "wav2vec2": ("integrated gradients", "occlusion"),
}
SHIFTS = [(0.5, 0.0), (0.0, 0.5), (0.5, 0.5), (0.25, 0.3)]  # of a map, as shares of its sides
RESAMPLES = 2000


def randomised(model: nn.Module) -> nn.Module:
    """Return the same model with new random weights; what it knows of the level of each band stays."""
    torch.manual_seed(0)
    found = copy.deepcopy(model)
    for name, module in found.named_modules():
        if name != "norm" and hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return found.eval()


def area(heard: Heard, said: int, found: Map) -> float:
    """Return the area under the deletion curve."""
    return float(attribution.deletion(heard, said, found).mean())


def shifted_area(heard: Heard, said: int, found: Map) -> float:
    """Return the same of the map laid elsewhere, mean over places: as smooth and as strong, but of no clip."""
    shifts = [tuple(round(share * size) for share, size in zip(shift, found.shape, strict=True)) for shift in SHIFTS]
    return float(np.mean([area(heard, said, np.roll(found, shift, axis=(0, 1))) for shift in shifts]))


def agreement(one: Map, other: Map) -> float:
    """Return the rank correlation of two maps; NaN when one is the same everywhere."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def measure(
    model: live.Live, clip_ids: list[str], audio: Path, methods: tuple[str, ...]
) -> Iterator[dict[str, object]]:
    """Yield the figures of each clip and method."""
    random = {fold: randomised(judge) for fold, judge in model.rounds.items()}
    following = dict(zip(model.rounds, [*model.rounds][1:] + [*model.rounds][:1], strict=True))
    rng = np.random.default_rng(0)
    for clip_id in clip_ids:
        fold, said = model.folds[clip_id], int(np.argmax([*model.predicted[clip_id].values()]))
        judges = (model.rounds[fold], random[fold], model.rounds[following[fold]])
        own, new, other = (explanation.hear(model, clip_id, audio, judge) for judge in judges)
        compared = explanation.background(model, clip_id, audio, own)
        shape = own.x.shape[1:]
        whole = {"clip": clip_id, "as it is": float(own.probability(own.x, said))}
        yield whole | {"method": "random cells", "area": area(own, said, rng.random(shape))}
        if model.mel:
            yield whole | {"method": "the loudest", "area": area(own, said, own.x[0].double().numpy())}
        for method in methods:
            maps = [attribution.METHODS[method](grid, said, compared) for grid in (own, new, other)]
            yield whole | {
                "method": method,
                "area": area(own, said, maps[0]),
                "area, shifted": shifted_area(own, said, maps[0]),
                "r, random weights": agreement(maps[0], maps[1]),
                "r, another round": agreement(maps[0], maps[2]),
            }


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return means by method; in how many clips it beats itself, shifted; and 95 % of that difference, resampled."""
    table = rows.groupby("method", sort=False).mean(numeric_only=True)
    gain = (rows["area, shifted"] - rows["area"]).groupby(rows["method"], sort=False)
    drawn = np.random.default_rng(0)
    intervals = {
        name: np.quantile(drawn.choice(found, (RESAMPLES, len(found))).mean(axis=1), (0.025, 0.975))
        for name, found in gain
    }
    table["gain"], table["low"], table["high"] = (
        gain.mean(),
        *(pd.Series({name: interval[end] for name, interval in intervals.items()}) for end in (0, 1)),
    )
    table["better in"] = gain.apply(lambda found: (found > 0).mean()).where(gain.count() > 0)
    return table


@click.command()
@click.option(
    "--project", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".", show_default=True
)
@click.option("--clips", type=click.IntRange(1), default=40, show_default=True, help="How many, spread by their hash.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the figures go, as JSON.")
def main(project: Path, clips: int, out: Path | None) -> None:
    """Print, for each model and method, how well its maps stand the tests."""
    if missing := [name for name in TRIED if not (project / "models" / name).exists()]:
        click.echo(f"skipped: {project} has no models/{missing[0]}, `dvc repro` there trains it")
        return
    torch.set_num_threads(1)
    figures = {}
    for name, methods in TRIED.items():
        model = live.load(
            project / "models" / name, project / f"data/predictions/{name}.csv", project / "data/folds.csv"
        )
        rows = pd.DataFrame(measure(model, sorted(model.predicted)[:clips], project / "data/clips", methods))
        click.echo(
            f"\n{name}, {rows['clip'].nunique()} clips: area under the deletion curve (lower is better); r of maps\n"
        )
        click.echo(summary(rows).to_string(float_format="{:.2f}".format, na_rep=""))
        figures[name] = rows.to_dict("records")
    if out is not None:
        files.write_json(figures, out)


if __name__ == "__main__":
    main()
