"""Carry requests to a Label Studio, and put whatever comes back instead of an answer into words.

The SDK renews tokens and sends; its models are passed by, they double the time and the memory of a listing. Reading is
tried again, writing never: a write without a reply may have been stored, and the server does not notice duplicates.
"""

import re
import weakref
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeAlias, TypeVar
from urllib.parse import urljoin

import click
import httpx
from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError

from curation.files import Json

Record: TypeAlias = Mapping[str, object]
T = TypeVar("T")

READ_AGAIN = 2  # how often a read is tried again
TIMEOUT_S = 300  # a request of some thousand tasks takes seconds; the SDK's 60 s are short for a busy server
SAID = 200  # characters of the server's own words in a message
ADVICE = {
    401: "The key is wrong, expired or of a kind that the server has switched off: take a new one from `Account & "
    "Settings` and set LABEL_STUDIO_API_KEY.",
    403: "The owner of LABEL_STUDIO_API_KEY may not do that: ask an administrator of the server.",
    404: "The project may be gone, or LABEL_STUDIO_URL is not the root of a Label Studio.",
    429: "It has had too many requests: run the same command again later.",
}
LOOK = "Look at the log of the server, then run the same command again."


class Refused(click.ClickException):
    """The server is down, does not answer in its own language, or says no; the message names the next step."""


class Connection:
    """A server's address and the key of one of its users, who is in no message."""

    def __init__(self, url: str, key: str, transport: httpx.BaseTransport | None) -> None:
        self.url = url
        self._key = key
        http, self._audio = (  # two: the cookies that come with files would make API requests part of a session
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=True, transport=transport) for _ in range(2)
        )
        for client in (http, self._audio):
            weakref.finalize(self, client.close)
        try:
            self._sdk = LabelStudio(base_url=url, api_key=key, httpx_client=http, max_retries=0)  # type: ignore[no-untyped-call]
        except ApiError as error:  # the key says itself that it has expired
            raise self._refusal("the key", 401, error.body) from error

    def ask(
        self, method: str, path: str, kind: type[T], *, json: Json = None, query: Mapping[str, object] | None = None
    ) -> T:
        """Send a request and return the reply, which must be JSON of `kind`.

        Raises:
            Refused: it is not, the server says no, or nobody answers.
        """
        reply, body = self._reply(method, path, json, query or {})
        if not isinstance(body, kind):
            odd = f"a {type(body).__name__} where a {kind.__name__} belongs"
            raise self._refusal(f"{method} {path}", reply.status_code, odd)
        return body

    def clock(self) -> datetime:
        """Return what time it is for the server, to the second.

        Raises:
            Refused: it does not say, says no, or nobody answers.
        """
        reply, _ = self._reply("GET", "api/version", None, {})
        try:
            return parsedate_to_datetime(reply.headers.get("date", ""))
        except ValueError as error:
            raise Refused(f"{self.url} does not say what time it is. Is it a Label Studio?") from error

    def ask_audio(self, address: str) -> httpx.Response:
        """Ask for the first bytes of a sound and return the head of the reply; the key goes to this server only.

        Raises:
            httpx.HTTPError: nobody answers.
            Refused: the key cannot be renewed.
        """
        url, wanted = urljoin(self.url, address), {"Range": "bytes=0-1023"}
        if url.startswith(self.url):
            try:
                wanted |= self._sdk._client_wrapper.get_headers()  # the SDK fetches no files
            except (ApiError, ValueError) as error:
                raise self._not_renewed("GET of a clip", error) from error
        with self._audio.stream("GET", url, headers=wanted) as reply:
            return reply  # the body, which may be the whole sound, is not read

    def _reply(self, method: str, path: str, json: Json, query: Mapping[str, object]) -> tuple[httpx.Response, object]:
        """Return the reply to a request, and the JSON in it."""
        what = f"{method} {path}"
        reply = self._send(what, method, path, json, query)
        try:
            body = reply.json() if reply.content else None
        except ValueError as error:
            raise self._refusal(what, reply.status_code, "no JSON") from error
        if reply.is_error:
            raise self._refusal(what, reply.status_code, body)
        return reply, body

    def _send(self, what: str, method: str, path: str, json: Json, query: Mapping[str, object]) -> httpx.Response:
        retries = READ_AGAIN if method == "GET" else 0
        try:
            return self._sdk._client_wrapper.httpx_client.request(
                path, method=method, json=json, params=dict(query), request_options={"max_retries": retries}
            )
        except httpx.HTTPError as error:
            doubt = "" if method == "GET" else " Whether it has done what was asked is not known."
            raise Refused(
                f"Label Studio at {self.url} does not answer ({type(error).__name__}: {self._clean(error)}).{doubt} "
                "Nothing is lost: when it is up, run the same command again."
            ) from error
        except (ApiError, ValueError) as error:
            raise self._not_renewed(what, error) from error

    def _not_renewed(self, what: str, error: ApiError | ValueError) -> Refused:
        """Return the refusal for a token that was to be renewed before `what`."""
        status, body = (error.status_code, error.body) if isinstance(error, ApiError) else (401, "no JSON")
        return self._refusal(what, status or 401, body)

    def _refusal(self, what: str, status: int, body: object) -> Refused:
        said = body.get("validation_errors") or body.get("detail") or body if isinstance(body, dict) else body
        advice = ADVICE.get(status, LOOK)
        return Refused(f"Label Studio at {self.url} answers {what} with {status}: {self._clean(said)}. {advice}")

    def _clean(self, said: object) -> str:
        """Return what somebody else says as one short line without control characters and without the key."""
        return re.sub(r"[^ -~]+", " ", str(said).replace(self._key, "***"))[:SAID].rstrip(". ")


def records(page: Record, name: str) -> list[Record]:
    """Return the list `name` of a reply."""
    found = page.get(name)
    if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
        raise Refused(f"Label Studio's reply has no list of `{name}`. Is LABEL_STUDIO_URL a Label Studio 1.2x?")
    return found


def inner(record: Record, name: str) -> Record:
    """Return the object `name` of a reply, empty: there is none."""
    found = record.get(name)
    return found if isinstance(found, dict) else {}


def number(value: object) -> int:
    """Return a number of a reply."""
    if not isinstance(value, int):
        raise Refused(
            f"Label Studio's reply has {str(value)[:50]!r} where a number belongs. Is it a Label Studio 1.2x?"
        )
    return value
