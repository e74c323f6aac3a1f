"""The artefact of a trial: a prompt of tokens (hard), of vectors (soft), of both (mixed), or of
keys and values (KV)."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from autoprompt.search_spaces.errors import AutopromptError
from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.device_copies import on_device
from autoprompt.workers.embedding_table import nearest_tokens
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.wording import Wording

#: Stands in `Prompt.token_ids` where a vector takes the place of a token.
VIRTUAL = -1

_NONE = torch.empty(0)


class Laid(NamedTuple):
    """A prompt where it will stand beside a text: input embeddings, each [P, H], or rows, which are
    keys and values [P, layers, 2, groups, size].

    Attributes:
        front: before everything.
        back: right after the text.
        end: behind the whole template.
        decoder: behind the decoder's start, in a model that has a decoder of its own.
        front_rows: before everything.
        back_rows: right after the text.
        end_rows: before the last token of the template, which sees them and is asked.
        decoder_rows: before the decoder's start.
    """

    front: Tensor = _NONE
    back: Tensor = _NONE
    end: Tensor = _NONE
    decoder: Tensor = _NONE
    front_rows: Tensor = _NONE
    back_rows: Tensor = _NONE
    end_rows: Tensor = _NONE
    decoder_rows: Tensor = _NONE

    @property
    def tokens(self) -> int:
        """How many tokens it puts through the model, P: rows are none."""
        return sum(map(len, self[:4]))

    @property
    def rows(self) -> Tensor:
        """Its rows, wherever they stand."""
        return next((part for part in self[4:] if len(part)), _NONE)

    @property
    def at_end(self) -> bool:
        """Whether it stands behind a template that is kept with its text."""
        return len(self.end) > 0 or len(self.end_rows) > 0


@dataclass(frozen=True, eq=False)
class Prompt:
    """What is laid beside a text.

    Attributes:
        text: a hard prompt as text; for vectors, how to speak of them.
        token_ids: the P tokens, in reading order; `VIRTUAL` where a vector stands.
        vectors: [virtual tokens, H] float32 on the CPU; None for a hard prompt.
        position: suffix (after the text), prefix (before everything), both, end (behind the
            template), or decoder (behind the decoder's start). Keys and values at the end stand
            before the template's last token, and in a decoder before its start.
        front: of a prompt at both, how many of its tokens stand before everything.
        prior: [L] log-probabilities that scoring takes off (calibration); empty for none.
        rows: [P, layers, 2, groups, size] float32 on the CPU, the keys and values of a KV prompt,
            rotated for where they stand; None for the other kinds.
        wording: the template and label words it was made for; None of one stored before prompts
            brought theirs along, which is to be read with its search's.
        reworded: whether the wording is the plan's own and not its search's.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    vectors: Tensor | None = None
    position: Position = "suffix"
    front: int = 0
    prior: tuple[float, ...] = ()
    rows: Tensor | None = None
    wording: Wording | None = None
    reworded: bool = False

    def __post_init__(self) -> None:
        if self.vectors is not None and not self.token_ids:
            object.__setattr__(self, "token_ids", (VIRTUAL,) * len(self.vectors))

    @property
    def kind(self) -> str:
        if self.rows is not None:
            return "kv"
        if self.vectors is None:
            return "hard"
        return "soft" if set(self.token_ids) <= {VIRTUAL} else "mixed"

    def __len__(self) -> int:
        return len(self.token_ids if self.rows is None else self.rows)

    def __str__(self) -> str:
        return self.text

    @property
    def digest(self) -> str:
        """Equal for prompts of one search that do the same: what "distinct" means for an ensemble.

        The search's own wording is no part of it, so that prompts stored with it and without it
        are the same.
        """
        place = f"{self.position}:{self.front}:{self.token_ids}:{self.prior}"
        if self.reworded and self.wording is not None:
            place += f":{self.wording.model_dump_json()}"
        content = hashlib.sha256(place.encode())
        for trained in (self.vectors, self.rows):
            if trained is not None:
                content.update(trained.numpy().tobytes())
        return content.hexdigest()[:16]

    def embedded(self, model: FrozenModel, vectors: Tensor | None = None) -> Laid:
        """The prompt beside a text, in the model's dtype and on its device.

        Args:
            vectors: [virtual tokens, H] to take the place of the prompt's own; gradients flow to
                them.
        """
        if self.rows is not None:
            return lay_rows(self.rows.to(model.device, model.dtype), self.position)
        vectors = self.vectors if vectors is None else vectors
        if vectors is None:
            slots = model.embed(self.token_ids)
        elif self.kind == "soft":
            slots = vectors.to(model.device, model.dtype)
        else:
            slots = model.embed([max(token, 0) for token in self.token_ids])
            places = [place for place, token in enumerate(self.token_ids) if token == VIRTUAL]
            slots = slots.index_put(
                (on_device(places, slots.device, torch.long),), vectors.to(slots)
            )
        return lay(slots, self.position, self.front)

    def without(self, place: int) -> "Prompt":
        """The same prompt with one position left out, counted from 0; those behind it move up."""
        ids, kept = self.token_ids, [n for n in range(len(self)) if n != place]
        virtual = [n for n, token in enumerate(ids) if token == VIRTUAL]
        vectors = self.vectors
        if vectors is not None:
            vectors = vectors[[row for row, n in enumerate(virtual) if n != place]]
        return replace(
            self,
            token_ids=tuple(ids[n] for n in kept) if self.rows is None else ids,
            vectors=vectors,
            rows=None if self.rows is None else self.rows[kept],
            front=self.front - (place < self.front),
        )

    @property
    def sides(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Its tokens before everything, and those that stand elsewhere."""
        cut = {"prefix": len(self.token_ids), "both": self.front}.get(self.position, 0)
        return self.token_ids[:cut], self.token_ids[cut:]

    def question(self, tokenizer: Any) -> str | None:
        """The whole question of a hard prompt, with the columns' names in braces: what can be
        pasted elsewhere. None of vectors and rows, which are no text, and of a prompt in a decoder.
        """
        if self.kind != "hard" or self.wording is None or self.position == "decoder":
            return None
        front, behind = (tokenizer.decode(ids) if ids else "" for ids in self.sides)
        template = self.wording.parsed_template
        asked = f"{front}{replace(template, tail='')}"
        return asked + (
            template.tail + behind if self.position == "end" else behind + template.tail
        )

    def to_bytes(self) -> bytes:
        """The prompt as one safetensors document: vectors as a tensor, the rest as metadata.

        Equal prompts give equal bytes: safetensors writes metadata in no fixed order, so there is
        one entry of it only.
        """
        fields: dict[str, Any] = {
            "text": self.text,
            "token_ids": self.token_ids,
            "position": self.position,
            "front": self.front,
            "prior": self.prior,
        }
        if self.wording is not None:
            fields["wording"] = self.wording.model_dump(mode="json")
            fields["reworded"] = self.reworded
        trained = {"vectors": self.vectors, "rows": self.rows}
        tensors = {name: part.contiguous() for name, part in trained.items() if part is not None}
        return bytes(save(tensors, metadata={"prompt": json.dumps(fields)}))

    @classmethod
    def from_bytes(cls, content: bytes) -> "Prompt":
        """The inverse of `to_bytes`.

        Raises:
            AutopromptError: the bytes are cut short or are no prompt.
        """
        try:
            size = int.from_bytes(content[:8], "little")
            metadata = json.loads(content[8 : 8 + size])["__metadata__"]
            fields = json.loads(metadata["prompt"])
            tensors = load(content)
            return cls(
                text=fields["text"],
                token_ids=tuple(fields["token_ids"]),
                vectors=tensors.get("vectors"),
                rows=tensors.get("rows"),
                position=fields["position"],
                front=fields.get("front", 0),
                prior=tuple(fields["prior"]),
                wording=Wording.model_validate(fields["wording"]) if "wording" in fields else None,
                reworded=fields.get("reworded", False),
            )
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise AutopromptError(f"a stored prompt cannot be read: {error}") from None


def by_wording(prompts: Sequence[Prompt], otherwise: Wording) -> list[tuple[Wording, list[int]]]:
    """The places of prompts that were made for one wording, wording by wording.

    Args:
        otherwise: of prompts that brought none along: their search's.
    """
    groups: dict[str, tuple[Wording, list[int]]] = {}
    for place, prompt in enumerate(prompts):
        wording = prompt.wording or Wording.of(otherwise)
        groups.setdefault(wording.model_dump_json(), (wording, []))[1].append(place)
    return list(groups.values())


def half(length: int) -> int:
    """How many tokens of a prompt laid at both sides stand before the text: half, rounded up."""
    return length - length // 2


def lay(slots: Tensor, position: Position, front: int = 0) -> Laid:
    """A prompt's embeddings [P, H], parted by where they will stand.

    Args:
        front: of a prompt at both, how many stand before everything.
    """
    none = slots[:0]
    if position == "end":
        return Laid(none, none, slots, none)
    if position == "decoder":
        return Laid(none, none, none, slots)
    cut = {"suffix": 0, "prefix": len(slots), "both": front}[position]
    return Laid(slots[:cut], slots[cut:], none, none)


def lay_rows(rows: Tensor, position: Position) -> Laid:
    """A KV prompt's rows [P, layers, 2, groups, size] where they will stand.

    Raises:
        KeyError: it cannot stand there.
    """
    places = {
        "prefix": "front_rows",
        "suffix": "back_rows",
        "end": "end_rows",
        "decoder": "decoder_rows",
    }
    return Laid(**{places[position]: rows})


def kv_prompt(rows: Tensor, position: Position) -> Prompt:
    """A KV prompt [P, layers, 2, groups, size], whose name only counts its rows."""
    master = rows.detach().float().cpu().clone()
    return Prompt(f"[{len(master)} keys and values]", position=position, rows=master)


def soft_prompt(vectors: Tensor, position: Position, model: FrozenModel) -> Prompt:
    """A soft prompt [P, H], named by its length and the vocabulary's tokens nearest to it."""
    front = half(len(vectors)) if position == "both" else 0
    return named(trained_prompt(vectors, position, front), model)


def trained_prompt(
    vectors: Tensor, position: Position, front: int, token_ids: tuple[int, ...] = ()
) -> Prompt:
    """A prompt of vectors [virtual tokens, H], whose name only counts them.

    Args:
        token_ids: as in `Prompt`, where tokens stand among the vectors.
    """
    master = vectors.detach().float().cpu().clone()
    return Prompt(f"[{len(master)} virtual tokens]", token_ids, master, position, front)


def named(prompt: Prompt, model: FrozenModel) -> Prompt:
    """The prompt with a name that says which tokens are nearest to its vectors, by cosine.

    It looks at the whole vocabulary, so it is for prompts that are kept. The tokens are a name, not
    a meaning: Khashabi et al. 2022, "Prompt Waywardness", show that they may say anything while the
    vectors do the task.
    """
    if prompt.vectors is None:
        return prompt
    nearest = nearest_tokens(prompt.vectors, model.embeddings)
    words = [model.tokenizer.decode([token]).strip() for token in nearest]
    name = f"[{len(nearest)} virtual tokens near: {' '.join(filter(None, words))}]"
    real = [token for token in prompt.token_ids if token != VIRTUAL]
    if real:
        written = model.tokenizer.decode(real)
        soft_first = prompt.token_ids[0] == VIRTUAL
        name = f"{name}{written}" if soft_first else f"{written} {name}"
    return replace(prompt, text=name)


def hard_prompt(
    token_ids: tuple[int, ...], position: Position, model: FrozenModel, front: int = 0
) -> Prompt:
    """A hard prompt from its tokens [P].

    Args:
        front: of a prompt at both, how many stand before everything.
    """
    written = model.tokenizer.decode(token_ids)
    if front:
        before = model.tokenizer.decode(token_ids[:front])
        written = f"{before} {{text}}{model.tokenizer.decode(token_ids[front:])}"
    return Prompt(written, tuple(token_ids), None, position, front)
