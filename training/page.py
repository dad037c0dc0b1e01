"""Write the page for a browser: what the terminal shows, with all figures, pictures, errors and suspects to hear."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from curation import clips, collapse, spectrogram, webpage
from curation.markdown import code
from training import data_pictures, evidence, model_pictures, shift_pictures, shortcut, stock
from training.cause import Cause
from training.findings import Findings
from training.steps import steps

PAGE = Path(__file__).parent / "report_page"
ERRORS, SUSPECTS = 6, 10  # at most; one weighs up to 300 kB
MARKS = {"supported": "●", "not known": "◐", "cleared": "○"}


def page(found: Findings, causes: Sequence[Cause], audio: Path, *, rate_hz: int) -> str:
    """Return the page in HTML; it needs no other file and no network.

    Args:
        found: what the stages found.
        causes: the likely causes, weighed.
        audio: folder of the clips.
        rate_hz: their sample rate.

    Raises:
        click.ClickException: the sound of a suspect is gone.
    """
    order = list(MARKS)
    return webpage.render(
        PAGE,
        inline=True,
        headline=evidence.headline(found),
        resolution=evidence.resolution(found),
        judged_by=evidence.judged_by(found),
        notes=[*evidence.notes(found)],
        signs=[*_signs(found)],
        limits={"commonest": f"{collapse.COMMONEST_SHARE:.0%}", "flat": collapse.FLAT_STD},
        evidence=[*_evidence(found)],
        marks=MARKS,
        causes=sorted(causes, key=lambda cause: order.index(cause.verdict)),
        steps=steps(found, causes),
        pictures=[
            *data_pictures.pictures(found),
            *model_pictures.pictures(found),
            *shift_pictures.pictures(found),
        ],
        errors=[*_errors(found, audio, rate_hz)],
        judge={"model": evidence.best(found), **_counted(found)},
        suspects=[*_suspects(found, audio, rate_hz)],
        refused=found.flagging["why"] if found.flagging["label_issues"] == "refused" else "",
        shortcut=_shortcut(found),
        axes=webpage.axes(rate_hz),
        stock={"header": stock.HEADER, "rows": [*stock.labels(found)]},
        stages=stock.stages(found),
    )


def _signs(found: Findings) -> Iterator[dict[str, str]]:
    for model, verdict in found.verdicts.items():
        yield {
            "model": code(model),
            "state": evidence.state(found, model),
            "commonest": evidence.said_most(verdict),
            "mcc": f"{evidence.estimate(found.metrics[model]['mcc']):.2f}",
            "auc": f"{evidence.estimate(found.metrics[model]['roc_auc']):.2f}",
            "luck": f"{verdict.chance_auc:.2f}",
            "spread": f"{verdict.score_std:.2f}",
        }


def _evidence(found: Findings) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Yield a title, a header and rows for all classes together, then for each."""
    rows = [*evidence.rows(found)]
    whole = [[name, *(figures[key] for key in evidence.WHOLE)] for name, figures in rows]
    yield "All classes", ["model", *evidence.WHOLE.values()], whole
    for label in found.classes:
        of_class = [[name, *(figures[f"{key} {label}"] for key in evidence.OF_CLASS)] for name, figures in rows]
        yield f"Class {label}", ["model", *evidence.OF_CLASS.values()], of_class


def _shortcut(found: Findings) -> dict[str, list[Any]]:
    """Return the clips that make the shortcut as a table: its header and its rows."""
    clips = shortcut.culprits(found)
    rows = [[f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row] for row in clips.to_numpy()]
    return {"header": list(clips.columns), "rows": rows}


def _wrong(found: Findings) -> pd.DataFrame:
    """Return what the best model gets wrong, with `said` and its probabilities; first what it is surest of."""
    model = evidence.best(found)
    of_label, of_said = (
        found.predictions[model].rename(columns={"label": name, "probability": f"of_{name}"})
        for name in ("label", "said")
    )
    said = found.plots[model]["confusion"].rename(columns={"actual": "label", "predicted": "said"})
    rows = said[said["label"] != said["said"]].merge(of_label).merge(of_said)
    return rows.merge(found.labelled.drop(columns="label"), on="clip_id").sort_values(["of_label", "clip_id"])


def _counted(found: Findings) -> dict[str, int]:
    return {"errors": len(_wrong(found)), "clips": len(found.plots[evidence.best(found)]["confusion"])}


def _errors(found: Findings, audio: Path, rate_hz: int) -> Iterator[dict[str, Any]]:
    """Yield the worst errors of the best model, with sound and picture, and what is known of their labels."""
    doubted = set(found.doubted["clip_id"])
    for clip in _wrong(found).head(ERRORS).to_dict("records"):
        heard = "people have heard it" if clip["answers"] else "nobody has heard it"
        doubt = "its label is in doubt" if clip["clip_id"] in doubted else "its label is not in doubt"
        yield _card(found, clip, audio, rate_hz) | {"known": f"{doubt}, {heard}"}


def _suspects(found: Findings, audio: Path, rate_hz: int) -> Iterator[dict[str, Any]]:
    """Yield the clips with the most doubtful labels that nobody has heard, with sound and picture."""
    unheard = found.doubted[found.doubted["answers"] == 0].head(SUSPECTS)
    yield from (_card(found, clip, audio, rate_hz) for clip in unheard.to_dict("records"))


def _card(found: Findings, clip: Mapping[Any, Any], audio: Path, rate_hz: int) -> dict[str, Any]:
    """Return what the page shows of a clip."""
    frames = max(1, round(clip["duration_s"] * rate_hz))
    samples = clips.read_clip(clip["clip_id"], audio, frames=frames)
    media = webpage.media(samples, rate_hz)
    return {str(name): value for name, value in clip.items()} | {
        "sound": webpage.url(media["flac"], "flac"),
        "picture": webpage.url(media["png"], "png"),
        "duration_s": len(samples) / rate_hz,
        "ticks_s": spectrogram.ticks_s(len(samples) / rate_hz),
        "opinions": [*_opinions(found, clip["clip_id"])],
    }


def _opinions(found: Findings, clip_id: str) -> Iterator[dict[str, str | float]]:
    for model, table in {"scoring model": found.scores, **found.predictions}.items():
        likeliest = table[table["clip_id"] == clip_id].nlargest(1, "probability")
        for row in likeliest.to_dict("records"):
            yield {"model": model, "says": row["label"], "probability": row["probability"]}
