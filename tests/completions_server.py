"""A server that answers `POST /v1/completions` as vLLM's does where it is sent embeddings: it
decodes what came over the wire, and runs a model on it."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from transformers import AutoModelForCausalLM


class Request(BaseModel):
    """What is asked: the keys of vLLM's that a client of ours may send, by their types there."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    prompt_embeds: list[str] = Field(min_length=1)
    max_tokens: int
    temperature: float
    logprobs: int
    return_tokens_as_token_ids: bool
    logprob_token_ids: list[int] | None = Field(None, min_length=1)


class CompletionsServer(ThreadingHTTPServer):
    """One that serves a model under a name.

    Attributes:
        asked: the requests so far.
    """

    def __init__(self, folder: Path, name: str, key: str) -> None:
        super().__init__(("127.0.0.1", 0), _Routes)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.name, self.key = name, key
        self.asked: list[Request] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @torch.no_grad()
    def choice(self, index: int, embeds: str, request: Request) -> dict[str, Any]:
        """The likeliest next token, and how likely it and those that are asked for are."""
        content = io.BytesIO(base64.b64decode(embeds, validate=True))
        rows = torch.load(content, weights_only=True)
        assert rows.ndim == 2
        assert rows.shape[1] == self.model.config.hidden_size
        log_probs = self.model(inputs_embeds=rows[None]).logits[0, -1].log_softmax(-1)
        sampled = int(log_probs.argmax())
        told = [sampled, *(request.logprob_token_ids or [])]
        if request.logprob_token_ids is None:
            told += log_probs.topk(request.logprobs).indices.tolist()
        top = {f"token_id:{token}": float(log_probs[token]) for token in told}
        tokens = [f"token_id:{sampled}"]
        own = {"tokens": tokens, "token_logprobs": [top[tokens[0]]], "top_logprobs": [top]}
        return {"index": index, "text": "", "logprobs": own, "finish_reason": "length"}


@contextmanager
def completions_server(folder: Path, name: str, key: str) -> Iterator[CompletionsServer]:
    server = CompletionsServer(folder, name, key)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Routes(BaseHTTPRequestHandler):
    server: CompletionsServer

    def log_message(self, *arguments: Any) -> None:
        """Not on the tests' stderr."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {self.server.key}":
            self._say({"error": "Unauthorized"}, 401)
            return
        request = Request.model_validate_json(body)
        if request.model != self.server.name or self.path != "/v1/completions":
            message = f"The model `{request.model}` does not exist."
            self._say({"error": {"message": message, "code": 404}}, 404)
            return
        assert (request.max_tokens, request.temperature) == (1, 0)
        self.server.asked.append(request)
        choices = [
            self.server.choice(index, embeds, request)
            for index, embeds in enumerate(request.prompt_embeds)
        ]
        self._say({"object": "text_completion", "model": request.model, "choices": choices})

    def _say(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
