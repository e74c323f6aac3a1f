"""The artefact of a trial: a hard prompt's tokens and text, or a soft prompt's vectors."""

import hashlib
import json
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from search_spaces.errors import AutopromptError
from search_spaces.schema import Position
from workers.frozen_model import FrozenModel


@dataclass(frozen=True, eq=False)
class Prompt:
    """What is laid beside a text.

    Attributes:
        text: a hard prompt as text; for a soft one, how to speak of it.
        token_ids: the P tokens of a hard prompt; empty for a soft one.
        vectors: [P, H] float32 on the CPU for a soft prompt; None for a hard one.
        position: suffix (after the text) or prefix (before everything).
        prior: [L] log-probabilities that scoring takes off (calibration); empty for none.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    vectors: Tensor | None = None
    position: Position = "suffix"
    prior: tuple[float, ...] = ()

    @property
    def kind(self) -> str:
        return "hard" if self.vectors is None else "soft"

    def __len__(self) -> int:
        return len(self.token_ids) if self.vectors is None else len(self.vectors)

    def __str__(self) -> str:
        return self.text

    @property
    def digest(self) -> str:
        """Equal for prompts that do the same: what "distinct" means for an ensemble."""
        content = hashlib.sha256(f"{self.position}:{self.token_ids}:{self.prior}".encode())
        if self.vectors is not None:
            content.update(self.vectors.numpy().tobytes())
        return content.hexdigest()[:16]

    def embedded(self, model: FrozenModel) -> Tensor:
        """The prompt as input embeddings [P, H], in the model's dtype and on its device."""
        if self.vectors is not None:
            return self.vectors.to(model.device, model.dtype)
        return model.embed(self.token_ids)

    def to_bytes(self) -> bytes:
        """The prompt as one safetensors document: vectors as a tensor, the rest as metadata.

        Equal prompts give equal bytes: safetensors writes metadata in no fixed order, so there is
        one entry of it only.
        """
        fields = {
            "text": self.text,
            "token_ids": self.token_ids,
            "position": self.position,
            "prior": self.prior,
        }
        tensors = {} if self.vectors is None else {"vectors": self.vectors.contiguous()}
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
            vectors = load(content).get("vectors")
            return cls(
                text=fields["text"],
                token_ids=tuple(fields["token_ids"]),
                vectors=vectors,
                position=fields["position"],
                prior=tuple(fields["prior"]),
            )
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise AutopromptError(f"a stored prompt cannot be read: {error}") from None


def soft_prompt(vectors: Tensor, position: Position, model: FrozenModel) -> Prompt:
    """A soft prompt [P, H], named by its length and the vocabulary's tokens nearest to it.

    The nearest tokens (by cosine) are a name, not a meaning: Khashabi et al. 2022, "Prompt
    Waywardness", show that they may say anything while the vectors do the task.
    """
    master = vectors.detach().float().cpu().clone()
    with torch.no_grad():
        table = torch.nn.functional.normalize(model.embeddings.float(), dim=-1)
        nearest = torch.nn.functional.normalize(master.to(model.device), dim=-1) @ table.T
    words = [model.tokenizer.decode([token]).strip() for token in nearest.argmax(-1).tolist()]
    name = f"[{len(master)} virtual tokens near: {' '.join(filter(None, words))}]"
    return Prompt(text=name, vectors=master, position=position)


def hard_prompt(token_ids: tuple[int, ...], position: Position, model: FrozenModel) -> Prompt:
    """A hard prompt from its tokens [P]."""
    return Prompt(model.tokenizer.decode(token_ids), tuple(token_ids), position=position)
