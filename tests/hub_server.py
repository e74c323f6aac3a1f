"""A Hugging Face Hub of one process: the routes by which huggingface_hub uploads a folder."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.utils.sha import git_hash

TOKEN = "hf_made_up_for_a_test"
LARGE = (".safetensors", ".gguf")


class HubServer(ThreadingHTTPServer):
    """What was made of repositories, and what they hold.

    Attributes:
        repositories: name -> whether it is private.
        files: of the one repository that is uploaded to, name -> content.
        refused: a part of a path that is not served, with what is said then.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Routes)
        self.repositories: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}
        self.large: dict[str, bytes] = {}
        self.refused: tuple[str, str] = ("nothing", "")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def hub_server(patch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """One that huggingface_hub takes for the Hub, with a token that it knows."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    patch.setattr(constants, "ENDPOINT", server.url)
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    # Xet's own servers are another protocol; this is the one that stands behind it.
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setenv("HF_TOKEN", TOKEN)
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Routes(BaseHTTPRequestHandler):
    server: HubServer

    def log_message(self, *arguments: Any) -> None:
        """Not on the tests' stderr."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        name = path.removeprefix("/api/models/").partition("/tree/")[0]
        if self._refuses():
            return
        if path == "/api/whoami-v2":
            self._say({"name": "someone", "type": "user"})
        elif name not in self.server.repositories:
            self._say({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif "/tree/" in path:
            self._say([_entry(*file) for file in self.server.files.items()])
        else:
            self._say({"id": name, "private": self.server.repositories[name], "siblings": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._refuses():
            return
        path = self.path.partition("?")[0]
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in self.server.repositories:
                self._say({"error": "You already created this model repo"}, 409)
                return
            self.server.repositories[name] = asked["visibility"] == "private"
            self._say({"url": f"{self.server.url}/{name}"})
        elif path == "/api/validate-yaml":
            assert json.loads(body)["content"].startswith("---\n")
            self._say({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            names = [file["path"] for file in json.loads(body)["files"]]
            self._say({"files": [_mode(name) for name in names]})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            self._say({"transfer": "basic", "objects": [self._action(each) for each in objects]})
        else:
            assert "/commit/" in path
            self._commit([json.loads(line) for line in body.splitlines()])

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        digest = self.path.rpartition("/")[2]
        assert hashlib.sha256(content).hexdigest() == digest
        self.server.large[digest] = content
        self._say({})

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.server.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[value["path"]] = self.server.large[value["oid"]]
        name = self.path.removeprefix("/api/models/").partition("/commit/")[0]
        oid = "1" * 40
        self._say({"commitUrl": f"{self.server.url}/{name}/commit/{oid}", "commitOid": oid})

    def _action(self, asked: dict[str, Any]) -> dict[str, Any]:
        href = f"{self.server.url}/lfs/{asked['oid']}"
        return asked | {"actions": {"upload": {"href": href}}}

    def _refuses(self) -> bool:
        """Whether a request is answered by a refusal."""
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._say({"error": "Invalid credentials in Authorization header"}, 401)
            return True
        part, said = self.server.refused
        if part in self.path:
            self._say({"error": said}, 403)
            return True
        return False

    def _say(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _mode(name: str) -> dict[str, Any]:
    mode = "lfs" if name.endswith(LARGE) else "regular"
    return {"path": name, "uploadMode": mode, "shouldIgnore": False, "oid": None}


def _entry(name: str, content: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": name, "size": len(content), "oid": git_hash(content)}
    if name.endswith(LARGE):
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
    return entry
