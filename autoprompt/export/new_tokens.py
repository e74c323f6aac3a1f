"""Prompts as tokens of their own: `<p0><p1>` is text that any server reads.

A new token stands for a prompt's vector, or for a token of a hard prompt or of the template behind
the text, whose row is copied: as plain text, that would merge with the text's last word in some
tokenizers. So what a server reads is what the search read, token by token, which is checked here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenizers import AddedToken
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from autoprompt.search_spaces.errors import ModelError
from autoprompt.workers.prompt import VIRTUAL, Prompt

#: What new tokens are called, the first that the vocabulary has not yet.
_NAMES = ("p", "prompt", "autoprompt")

#: What texts may begin and end with, for tokenizers to join it to what stands beside them.
_TEXTS = ("good", "Good!", "It was (so) dull ...", "1984", '"naïve", he said:')


@dataclass(frozen=True)
class ServerPrompt:
    """A prompt as a server is sent it.

    Attributes:
        text: the whole question, with the columns' names in braces.
        token_ids: the new tokens that stand for the prompt's own, in reading order.
        before, behind: all new tokens beside the text.
    """

    text: str
    token_ids: tuple[int, ...]
    before: tuple[int, ...]
    behind: tuple[int, ...]


@dataclass
class NewTokens:
    """Tokens beside a tokenizer's own.

    Attributes:
        tokenizer: with the new tokens.
        bare: whether it no longer puts anything before or behind an input by itself, since a
            prompt stands before what it would put.
        rows: what each stands for, in the order of their ids: a vector [H], or the token whose row
            is copied.
        prompts: what servers are sent.
    """

    tokenizer: PreTrainedTokenizerBase
    bare: bool
    rows: list[Tensor | int] = field(default_factory=list)
    prompts: list[ServerPrompt] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return self.tokenizer.convert_ids_to_tokens(self.ids)

    @property
    def ids(self) -> list[int]:
        """Theirs are the last ones."""
        return list(range(len(self.tokenizer) - len(self.rows), len(self.tokenizer)))


def new_tokens(
    load: Any, prompts: Sequence[Prompt], tasks: Sequence[Mapping[str, Any]]
) -> NewTokens:
    """Spell prompts by new tokens.

    Args:
        load: gives the model's tokenizer, a new one at every call.
        tasks: what each of them asks, as plain values.

    Raises:
        ModelError: the tokenizer reads texts otherwise beside new tokens.
    """
    original = load()
    for bare in (False, True):
        for joint in ("", " "):
            spelled = _spelled(_bare(load()) if bare else load(), bare, joint, prompts, tasks)
            if spelled is not None and _reads_alike(spelled, original, tasks):
                return spelled
    raise ModelError(
        "--format tokens: this model's tokenizer reads a text otherwise where new tokens stand "
        "beside it; use --format json or vllm"
    )


def _spelled(
    tokenizer: PreTrainedTokenizerBase,
    bare: bool,
    joint: str,
    prompts: Sequence[Prompt],
    tasks: Sequence[Mapping[str, Any]],
) -> NewTokens:
    """Add tokens to a tokenizer.

    Args:
        joint: between what stands before the text, and it.
    """
    known, first = tokenizer.get_vocab(), len(tokenizer)
    name = next(name for name in _NAMES if not any(f"<{name}{n}>" in known for n in range(1000)))
    made = NewTokens(tokenizer, bare)

    def added(slots: Sequence[Tensor | int]) -> tuple[int, ...]:
        """A new token for each of these."""
        start = first + len(made.rows)
        made.rows.extend(slots)
        return tuple(range(start, start + len(slots)))

    def written(ids: Sequence[int]) -> str:
        return "".join(f"<{name}{token - first}>" for token in ids)

    for prompt, task in zip(prompts, tasks, strict=True):
        front, rest = _slots(prompt)
        at_front, begin = added(front), added(task["begin_ids"] if bare else ())
        sides = (task["tail_ids"], rest) if prompt.position == "end" else (rest, task["tail_ids"])
        behind = [added(side) for side in sides]
        elsewhere = behind[1] if prompt.position == "end" else behind[0]
        before, after = at_front + begin, behind[0] + behind[1]
        filled = "".join(f"{part['before']}{{{part['column']}}}" for part in task["columns"])
        text = f"{written(before)}{joint if before else ''}{filled}{written(after)}"
        made.prompts.append(ServerPrompt(text, at_front + elsewhere, before, after))
    tokenizer.add_tokens(
        # Not special, so that llama.cpp reads them in any text, as the others do.
        [AddedToken(f"<{name}{n}>", normalized=False, special=False) for n in range(len(made.rows))]
    )
    return made


def _slots(prompt: Prompt) -> tuple[list[Tensor | int], list[Tensor | int]]:
    """What stands before everything, and elsewhere: vectors, and tokens."""
    vectors: Iterator[Tensor] = iter(()) if prompt.vectors is None else iter(prompt.vectors)
    slots = [next(vectors) if token == VIRTUAL else token for token in prompt.token_ids]
    cut = len(prompt.sides[0])
    return slots[:cut], slots[cut:]


def _bare(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A tokenizer that adds nothing to an input by itself."""
    backend = tokenizer.backend_tokenizer
    backend.post_processor = None
    bare = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=tokenizer.model_max_length,
        clean_up_tokenization_spaces=False,
        **tokenizer.special_tokens_map,
    )
    bare.chat_template = tokenizer.chat_template
    return bare


def _reads_alike(
    spelled: NewTokens, original: PreTrainedTokenizerBase, tasks: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether servers read what the search read, whatever the text."""
    for asked, task in zip(spelled.prompts, tasks, strict=True):
        begin = () if spelled.bare else task["begin_ids"]
        for text in _TEXTS:
            whole, filled = asked.text, ""
            for part in task["columns"]:
                whole = whole.replace(f"{{{part['column']}}}", text, 1)
                filled += f"{part['before']}{text}"
            plain = original(filled, add_special_tokens=False).input_ids
            expected = [*asked.before, *begin, *plain, *asked.behind]
            if spelled.tokenizer(whole).input_ids != expected:
                return False
    return True
