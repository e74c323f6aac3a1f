"""A server that answers `POST /v1/completions` as vLLM's does where it is sent embeddings: it
decodes what came over the wire, and runs a model on it."""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from transformers import AutoModelForCausalLM

from tests.local_server import LocalServer, Routes


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


class CompletionsServer(LocalServer):
    """One that serves a model under a name.

    Attributes:
        asked: the requests so far.
    """

    def __init__(self, folder: Path, name: str, key: str) -> None:
        super().__init__(_Routes)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.name, self.key = name, key
        self.asked: list[Request] = []

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
    with server.running():
        yield server


class _Routes(Routes):
    server: CompletionsServer

    def do_POST(self) -> None:  # noqa: N802 - as http.server calls it
        body = self.body()
        if self.headers.get("Authorization") != f"Bearer {self.server.key}":
            self.say({"error": "Unauthorized"}, 401)
            return
        request = Request.model_validate_json(body)
        if request.model != self.server.name or self.path != "/v1/completions":
            message = f"The model `{request.model}` does not exist."
            self.say({"error": {"message": message, "code": 404}}, 404)
            return
        assert (request.max_tokens, request.temperature) == (1, 0)
        self.server.asked.append(request)
        choices = [
            self.server.choice(index, embeds, request)
            for index, embeds in enumerate(request.prompt_embeds)
        ]
        self.say({"object": "text_completion", "model": request.model, "choices": choices})
