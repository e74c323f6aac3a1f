"""A causal model that writes: it answers requests with one short line each, many at a time."""

import functools
from typing import Any

import torch

from autoprompt.search_spaces.errors import ModelError
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.model_config import family_of, read_config
from autoprompt.workers.model_files import ModelSpec

#: How freely tokens are drawn.
_TEMPERATURE, _TOP_P = 0.9, 0.95

#: Requests of one pass.
_BATCH = 8


class Writer:
    """A language model and its tokenizer."""

    def __init__(self, model: FrozenModel) -> None:
        self._model = model
        self._tokenizer: Any = model.tokenizer

    @torch.no_grad()
    def write(self, requests: list[str], tokens: int, seed: int) -> list[str]:
        """A line for each request; empty where nothing came.

        Args:
            tokens: at most so many are written.
            seed: of what is drawn.
        """
        written: list[str] = []
        devices = [self._model.device] if self._model.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            for start in range(0, len(requests), _BATCH):
                written += self._batch(requests[start : start + _BATCH], tokens)
        return written

    def _batch(self, requests: list[str], tokens: int) -> list[str]:
        model, tokenizer = self._model, self._tokenizer
        rows = [self._asked(request) for request in requests]
        pad = tokenizer.pad_token_id
        pad = tokenizer.eos_token_id if pad is None else pad
        width = max(map(len, rows))
        # Padded on the left: what is written goes on from the right.
        ids = [[pad or 0] * (width - len(row)) + row for row in rows]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
        model.keep_logits_of(None)
        found = model.model.generate(
            input_ids=torch.tensor(ids, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            max_new_tokens=tokens + 8,
            do_sample=True,
            temperature=_TEMPERATURE,
            top_p=_TOP_P,
            pad_token_id=pad or 0,
        )
        texts = tokenizer.batch_decode(found[:, width:], skip_special_tokens=True)
        return [_line(text) for text in texts]

    def _asked(self, request: str) -> list[int]:
        if getattr(self._tokenizer, "chat_template", None):
            chat = [{"role": "user", "content": request}]
            text = self._tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=True
            )
        else:
            text = f"{request}\n\nInstruction:"
        ids: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids
        return ids


def writer_of(path: str | None, frozen: FrozenModel) -> Writer:
    """The writer that a plan names; the frozen model itself without a name.

    Raises:
        ModelError: it is no causal model, or cannot be found.
    """
    if path is None:
        if frozen.family != "causal":
            raise ModelError(
                f"hard.writer: the frozen model is a {frozen.family} one, which writes nothing; "
                "name a causal model"
            )
        return Writer(frozen)
    return Writer(_loaded(path))


@functools.lru_cache(maxsize=1)
def _loaded(path: str) -> FrozenModel:
    from autoprompt.workers.model_loading import load_model

    check_writer(path)
    return load_model(ModelSpec(path=path))


def check_writer(path: str) -> None:
    """Say in one line what is wrong with a writer, before it is loaded.

    Raises:
        ModelError: it is no causal model, or cannot be found.
    """
    spec = ModelSpec(path=path)
    family = family_of(read_config(path, spec))
    if family != "causal":
        raise ModelError(
            f"hard.writer: {path} is a {family} model, and only causal ones write; name another"
        )


def _line(text: str) -> str:
    """The first line that says anything, without quotes around it."""
    lines = [line.strip().strip("\"'*`").strip() for line in text.splitlines()]
    return next(filter(None, lines), "")
