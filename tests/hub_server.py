"""A Hugging Face Hub of one process: the routes by which huggingface_hub uploads a folder."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.utils.sha import git_hash

from tests.local_server import LocalServer, Routes

TOKEN = "hf_made_up_for_a_test"
LARGE = (".safetensors", ".gguf")


class HubServer(LocalServer):
    """What was made of repositories, and what they hold.

    Attributes:
        repositories: name -> whether it is private.
        files: of the one repository that is uploaded to, name -> content.
        refused: a part of a path that is not served, with what is said then.
    """

    def __init__(self) -> None:
        super().__init__(_Routes)
        self.repositories: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}
        self.large: dict[str, bytes] = {}
        self.refused: tuple[str, str] = ("nothing", "")


@contextmanager
def hub_server(patch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """One that huggingface_hub takes for the Hub, with a token that it knows."""
    server = HubServer()
    patch.setattr(constants, "ENDPOINT", server.url)
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    # Xet's own servers are another protocol; this is the one that stands behind it.
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setenv("HF_TOKEN", TOKEN)
    with server.running():
        yield server


class _Routes(Routes):
    server: HubServer

    def do_GET(self) -> None:  # noqa: N802 - as http.server calls it
        path = self.path.partition("?")[0]
        name = path.removeprefix("/api/models/").partition("/tree/")[0]
        if self._refuses():
            return
        if path == "/api/whoami-v2":
            self.say({"name": "someone", "type": "user"})
        elif name not in self.server.repositories:
            self.say({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif "/tree/" in path:
            self.say([_entry(*file) for file in self.server.files.items()])
        else:
            self.say({"id": name, "private": self.server.repositories[name], "siblings": []})

    def do_POST(self) -> None:  # noqa: N802 - as http.server calls it
        body = self.body()
        if self._refuses():
            return
        path = self.path.partition("?")[0]
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in self.server.repositories:
                self.say({"error": "You already created this model repo"}, 409)
                return
            self.server.repositories[name] = asked["visibility"] == "private"
            self.say({"url": f"{self.server.url}/{name}"})
        elif path == "/api/validate-yaml":
            assert json.loads(body)["content"].startswith("---\n")
            self.say({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            names = [file["path"] for file in json.loads(body)["files"]]
            self.say({"files": [_mode(name) for name in names]})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            self.say({"transfer": "basic", "objects": [self._action(each) for each in objects]})
        else:
            assert "/commit/" in path
            self._commit([json.loads(line) for line in body.splitlines()])

    def do_PUT(self) -> None:  # noqa: N802 - as http.server calls it
        content = self.body()
        digest = self.path.rpartition("/")[2]
        assert hashlib.sha256(content).hexdigest() == digest
        self.server.large[digest] = content
        self.say({})

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.server.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[value["path"]] = self.server.large[value["oid"]]
        name = self.path.removeprefix("/api/models/").partition("/commit/")[0]
        oid = "1" * 40
        self.say({"commitUrl": f"{self.server.url}/{name}/commit/{oid}", "commitOid": oid})

    def _action(self, asked: dict[str, Any]) -> dict[str, Any]:
        href = f"{self.server.url}/lfs/{asked['oid']}"
        return asked | {"actions": {"upload": {"href": href}}}

    def _refuses(self) -> bool:
        """Whether a request is answered by a refusal."""
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.say({"error": "Invalid credentials in Authorization header"}, 401)
            return True
        part, said = self.server.refused
        if part in self.path:
            self.say({"error": said}, 403)
            return True
        return False


def _mode(name: str) -> dict[str, Any]:
    mode = "lfs" if name.endswith(LARGE) else "regular"
    return {"path": name, "uploadMode": mode, "shouldIgnore": False, "oid": None}


def _entry(name: str, content: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": name, "size": len(content), "oid": git_hash(content)}
    if name.endswith(LARGE):
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
    return entry
