"""What Label Studio asks an ML backend, and the answers: predictions, and a hint to pull on every answer."""

import base64
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import click
import numpy as np
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from curation import page
from curation.files import Json
from training import calibration, live

USER = "earmark"  # of basic authentication, all that Label Studio can send
CLIP_ID = re.compile("[0-9a-f]{16}")  # such a name leads out of no folder
MAX_BODY_MB = 64  # Label Studio sends all selected tasks at once, with their answers: some 2 kB each
SAID = 3  # how many faults a message names


class Task(BaseModel):
    """What counts of a task: its `clip_id`, and whether its answer is stored as blind or hinted."""

    data: dict[str, object]


class Question(BaseModel):
    """The body of POST /predict."""

    tasks: list[Task] = Field(min_length=1)
    label_config: str


class SetUp(BaseModel):
    """The body of POST /setup; the access token of the project's owner, which comes with it, is not read."""

    label_config: str = Field(alias="schema")


class Hook(BaseModel):
    """The body of POST /webhook; nothing but the kind of event is read."""

    action: str


def app(model: Callable[[], live.Live], audio: Path, token: str, hint: Callable[[], None]) -> FastAPI:
    """Return what answers Label Studio.

    Args:
        model: gives the model of now.
        audio: the folder of the clips.
        token: what every request must carry.
        hint: is called when people have answered something.
    """
    made = FastAPI(openapi_url=None, dependencies=[Depends(_only(token))])
    for kind in (HTTPException, ValidationError, click.ClickException):
        made.add_exception_handler(kind, _refuse)

    @made.get("/health")
    def health() -> dict[str, str]:
        return {"status": "UP"}

    @made.get("/versions")
    def versions() -> dict[str, list[str]]:
        return {"versions": [model().version]}

    @made.post("/setup")
    def setup(body: Annotated[bytes, Depends(_body)]) -> dict[str, str]:
        asked, found = SetUp.model_validate_json(body), model()
        check_page(asked.label_config, found.data.classes)
        return {"model_version": found.version}

    @made.post("/predict")
    def predict(body: Annotated[bytes, Depends(_body)]) -> JSONResponse:
        asked, found = Question.model_validate_json(body), model()
        check_page(asked.label_config, found.data.classes)
        results = predictions(asked.tasks, found, audio)
        return JSONResponse({"results": results, "model_version": found.version})

    @made.post("/webhook")
    def webhook(body: Annotated[bytes, Depends(_body)]) -> dict[str, bool]:
        action = Hook.model_validate_json(body).action
        if action == "START_TRAINING":
            raise click.ClickException("earmark trains by `dvc repro`, not from here.")
        if answered := action.startswith("ANNOTATION"):
            hint()
        return {"pull": answered}

    return made


def check_page(config: str, classes: Sequence[str]) -> None:
    """Refuse a project whose page is not the one that shows this model's guesses.

    Raises:
        click.ClickException: the page has other classes, or is a blind one.
    """
    if config.strip() == page.config(classes).strip():
        raise click.ClickException(
            "This project is blind. With `label_studio.shown: hinted` in params.yaml `earmark push` makes it hinted."
        )
    if config.strip() != page.config(classes, hinted=True).strip():
        raise click.ClickException(
            f"The page of this project is not earmark's for the classes {list(classes)}, which the model has learnt. "
            "`earmark push` sets the page to `data.classes` of params.yaml, `dvc repro train` the model."
        )


def predictions(tasks: Sequence[Task], model: live.Live, audio: Path) -> list[Json]:
    """Return a prediction a task, and nothing (an empty list) for a task that cannot have one.

    Raises:
        click.ClickException: none of them can have one.
    """
    results: list[Json] = []
    refused: list[str] = []
    for task in tasks:
        try:
            results.append(_prediction(task, model, audio))
        except click.ClickException as error:
            results.append([])
            refused.append(error.message)
    said = f"{len(refused)} of {len(tasks)} tasks cannot be predicted: {' '.join([*dict.fromkeys(refused)][:SAID])}"
    if len(refused) == len(tasks):
        raise click.ClickException(said)
    if refused:
        click.echo(f"serve: {said}", err=True)
    return results


def _prediction(task: Task, model: live.Live, audio: Path) -> Json:
    clip_id = task.data.get("clip_id")
    if not isinstance(clip_id, str) or not CLIP_ID.fullmatch(clip_id):
        raise click.ClickException(f"`clip_id` is {str(clip_id)[:50]!r}, no name of a clip.")
    if task.data.get("shown") != "hinted":
        raise click.ClickException(
            f"The answer about {clip_id} would not be stored as hinted; `earmark push` makes open tasks anew."
        )
    found = live.probabilities(model, clip_id, audio)
    label = min(found, key=lambda name: (-found[name], name))
    return page.prediction(label, tempered(found, model.temperature)[label], model.version)


def tempered(found: Mapping[str, float], temperature: float) -> dict[str, float]:
    """Return the probabilities as sure as the model has a right to be."""
    scaled = calibration.tempered(np.array([[*found.values()]]), temperature)[0]
    return dict(zip(found, scaled.tolist(), strict=True))


def _only(token: str) -> Callable[[Request], None]:
    """Return what lets requests with the token pass, and no other."""
    basic = base64.b64encode(f"{USER}:{token}".encode()).decode()
    accepted = [f"{kind} {secret}".encode() for kind, secret in (("Basic", basic), ("Bearer", token))]

    def check(request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if not any([hmac.compare_digest(given, one) for one in accepted]):
            raise HTTPException(
                401,
                f"The token is missing or wrong. Send it as the password of user `{USER}` (basic authentication) or as "
                "the header `Authorization: Bearer TOKEN`.",
                {"WWW-Authenticate": "Basic"},
            )

    return check


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_MB * 2**20:
            raise HTTPException(413, f"The body is larger than {MAX_BODY_MB} MB. Ask for fewer tasks at once.")
    return bytes(body)


def _refuse(request: Request, error: Exception) -> JSONResponse:
    """Say on both sides why not, without the body, which may hold secrets."""
    status, words, headers = 409, str(error), None
    if isinstance(error, HTTPException):
        status, words, headers = error.status_code, str(error.detail), error.headers
    if isinstance(error, ValidationError):
        faults = error.errors(include_url=False, include_context=False, include_input=False)[:SAID]
        where = ["".join((*(f"{part}: " for part in fault["loc"]), fault["msg"])) for fault in faults]
        status, words = 400, f"The body is not what Label Studio sends. {'; '.join(where)}."
    click.echo(f"serve: {status} for {request.url.path}: {words}", err=True)
    return JSONResponse({"detail": words}, status, headers)
