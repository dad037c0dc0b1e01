"""A GitLab with one merge request, which keeps its notes in memory, on a real socket."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


class GitLab:
    """What it was asked, and the notes it has by their number."""

    def __init__(self, token: str, notes: str) -> None:
        self.token, self.path = token, notes
        self.url = ""
        self.asked: list[str] = []
        self.notes: dict[int, str] = {1: "A note of a person."}

    def answer(self, method: str, path: str, body: str) -> object:
        """Return the reply to a request; a path it does not know is an error of the asker."""
        self.asked.append(f"{method} {path}")
        place, _, query = path.partition("?")
        if (method, place) == ("GET", self.path) and query == "per_page=100&sort=asc":
            return [{"id": number, "body": text} for number, text in self.notes.items()]
        number = len(self.notes) + 1 if (method, place) == ("POST", self.path) else int(place.rpartition("/")[2])
        assert (method, place) in {("POST", self.path), ("PUT", f"{self.path}/{number}")}
        self.notes[number] = json.loads(body)["body"]
        return {"id": number}


@contextmanager
def serving(token: str, notes: str) -> Iterator[GitLab]:
    """Serve on loopback while the block lasts.

    Args:
        token: what a request must bring.
        notes: path of the notes of the merge request.
    """
    gitlab = GitLab(token, notes)

    class Handler(BaseHTTPRequestHandler):
        def do_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            known = self.headers["private-token"] == gitlab.token
            self.send_response(200 if known else 401)
            self.end_headers()
            self.wfile.write(json.dumps(gitlab.answer(self.command, self.path, body) if known else {}).encode())

        do_GET = do_POST = do_PUT = do_any

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    gitlab.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield gitlab
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
