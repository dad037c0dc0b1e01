"""A real Label Studio for the slow tests: one server a run, on loopback, with two annotators."""

import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

KEY = "0123456789abcdef0123456789abcdef01234567"
EMAIL, PASSWORD = "admin@example.com", "only-for-tests"
NOWHERE = "http://127.0.0.1:9"


@dataclass
class RealLabelStudio:
    """The process, its address, and the keys of its annotators by name."""

    program: str
    home: Path
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until it answers: about a minute the first time, seconds later."""
        if not self.port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.home),
            "DJANGO_DB": "default" if "POSTGRE_NAME" in os.environ else "sqlite",
            **{name: value for name, value in os.environ.items() if name.startswith("POSTGRE_")},
            "LABEL_STUDIO_USERNAME": EMAIL,
            "LABEL_STUDIO_PASSWORD": PASSWORD,
            "LABEL_STUDIO_USER_TOKEN": KEY,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "LABEL_STUDIO_COLLECT_ANALYTICS": "false",
            "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
            "LABEL_STUDIO_SENTRY_DSN": "",
            "LABEL_STUDIO_FRONTEND_SENTRY_DSN": "",
            "HTTP_PROXY": NOWHERE,
            "HTTPS_PROXY": NOWHERE,
            "NO_PROXY": "127.0.0.1",
            "LABEL_STUDIO_ML_BLOCK_LOCAL_IP": "false",
            "LABEL_STUDIO_SSRF_PROTECTION_ENABLED": "false",
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.home),
        }
        command = [self.program, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(self.port)]
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=variables, cwd=self.home, stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(1200):
            assert self.process.poll() is None, (self.home / "server.log").read_text()[-2000:]
            try:
                if httpx.get(f"{self.url}/health", trust_env=False).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.25)
        raise TimeoutError((self.home / "server.log").read_text()[-2000:])

    def kill(self) -> None:
        """End it with -9, as a power cut would."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def client(self, name: str = "") -> httpx.Client:
        """Return a client of the administrator, or of an annotator who is signed up now if need be."""
        if name and name not in self.keys:
            self.keys[name] = self._sign_up(name)
        key = self.keys[name] if name else KEY
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Token {key}"}, timeout=300, trust_env=False)

    def _sign_up(self, name: str) -> str:
        with self.client() as admin:
            invitation = admin.get("/api/invite").json()["invite_url"]
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as session:
            session.get(invitation)
            form = {"csrfmiddlewaretoken": session.cookies["csrftoken"], "allow_newsletters": "false"}
            form |= {"email": f"{name}@example.com", "password": PASSWORD}
            done = session.post(invitation, data=form, headers={"Referer": self.url})
            assert done.status_code == 302, done.text[:500]
            return str(session.get("/api/current-user/token").json()["token"])

    def export(self, project: int) -> list[dict]:
        with self.client() as admin:
            whole = f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true"
            found: list[dict] = json.loads(admin.get(whole).content)
        return found
