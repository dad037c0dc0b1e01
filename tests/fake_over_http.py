"""The Label Studio in memory on a real socket, which falls ill at a request and stays so until it is mended."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import httpx
from fake_label_studio import FakeLabelStudio


class Fault(NamedTuple):
    """What comes back; of a reply that is `cut` the second half does not."""

    status: int
    content: bytes
    cut: bool = False


class Served:
    """Where the server is, what answers there, and what ails it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked = 0
        self.fake = FakeLabelStudio()
        self.fault: Fault | None = None
        self.ill_from = 0  # the number of the first request that gets the fault
        self.stores = False  # whether it does what it is asked all the same
        self._one_by_one = threading.Lock()

    def answer(self, request: httpx.Request) -> tuple[httpx.Response, bool]:
        """Return the reply, and whether the line is cut in it."""
        with self._one_by_one:
            self.asked += 1
            ill = self.fault if self.asked >= self.ill_from else None
            reply = None if ill and not self.stores else self.fake.transport.handle_request(request)
        if ill:
            headers = {"content-type": "text/html", "date": format_datetime(self.fake.now, usegmt=True)}
            reply = httpx.Response(ill.status, content=ill.content, headers=headers)
        assert reply
        return reply, bool(ill and ill.cut)


@contextmanager
def serving() -> Iterator[Served]:
    """Serve on loopback while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body at once: else each reply waits 40 ms for the acknowledgement of its head

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = httpx.Request(self.command, served.url + self.path, headers=headers, content=body)
            reply, cut = served.answer(request)
            self.send_response_only(reply.status_code)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.content[: len(reply.content) // 2] if cut else reply.content)
            self.close_connection = self.close_connection or cut

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        served = Served(f"http://127.0.0.1:{server.server_address[1]}")
        yield served
        server.shutdown()
