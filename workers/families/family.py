"""What a family of models must do: answer for prompts beside texts, in one way or in several."""

import copy
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence, Set
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.answers import Readout
from autoprompt.workers.continuations import Continuations
from autoprompt.workers.device_errors import is_device_broken, is_out_of_memory
from autoprompt.workers.families.generation import Generation
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.prompt import Laid, lay
from autoprompt.workers.task import Task
from autoprompt.workers.text_cache import CachedTexts, TextCache
from autoprompt.workers.text_states import Passage, TokenIds
from autoprompt.workers.trust_file import is_known, keep

log = logging.getLogger(__name__)

#: What is read behind the question, and asked there: of every text the same, or of each its own.
Behind = Readout | Continuations

#: How far cached and plain logits may lie apart before the cache is not trusted, as a part of what
#: the loss of one token does to them. A test on a model of 30 layers holds the bound of bfloat16
#: between its rounding and positions that are 3 off.
_TOLERANCE = {torch.float32: 0.01, torch.float16: 0.1, torch.bfloat16: 0.2}

#: Texts that the cache is tried on, where memory holds them, and how often others are taken where
#: these leave it open: a part that is less than half of the bound, or more than twice, does not.
_TRIED, _TRIALS, _OPEN = 8, 4, 2.0


class Family(ABC):
    """One model and one task, laid out as the model's family reads them.

    Attributes:
        positions: where a prompt may stand.
        reusable: those at which a prompt leaves the hidden states of the text untouched; the
            first of them is tried before any is trusted.
        distrust: why cached texts are not used although the model should allow it.
        longest_reused: the most tokens of a text that may be reused; a longer one does not fit the
            window of a model that has one.
    """

    positions: ClassVar[frozenset[Position]] = frozenset({"suffix", "prefix", "both", "end"})
    reusable: ClassVar[tuple[Position, ...]] = ()

    def __init__(self, model: FrozenModel, task: Task, cache: TextCache) -> None:
        self.model = model
        self.question = task.question
        self.cache = cache
        self.readout: Behind = task.readout
        self.distrust: str | None = None
        self.longest_reused = 1 << 30
        self._expected: frozenset[Position] = frozenset()
        self._expects_kv = False
        self._tried = _TRIED
        self._trusts_cache: bool | None = None if model.may_reuse_text else False

    def asking(self, readout: Behind) -> Self:
        """The same model, question and cached texts, asked for something else.

        What follows certain texts is asked of these alone, all of them and in their order; and the
        cache is tried before, as it cannot be tried on others.
        """
        other = copy.copy(self)
        other.readout = readout
        if isinstance(readout, Continuations):
            other._trusts_cache = bool(self._trusts_cache)
        return other

    def trust_like(self, other: "Family") -> None:
        """Use the cache where it is trusted in another wording of the same model: how a model goes
        on from what is kept has nothing to do with words."""
        if other._trusts_cache:
            self._trusts_cache = True

    @abstractmethod
    def plain(self, prompt: Laid, texts: Sequence[TokenIds]) -> Tensor:
        """[B, L]: the whole input of each text, run through the model."""

    def trusted(self, prompt: Laid, texts: Sequence[TokenIds]) -> Tensor:
        """[B, L], as `plain`, in the way that other ways are held against before they are used."""
        return self.plain(prompt, texts)

    def cached(
        self,
        asked: Sequence[tuple[Sequence[Laid], CachedTexts]],
        readouts: Sequence[Behind] | None = None,
    ) -> list[Tensor]:
        """[N, B, L] of each: prompts at reusable positions, over texts from the cache as `fill`
        gives them for these prompts; in one pass, where the family can.

        Args:
            readouts: what each is asked for, where it is not what the family is.
        """
        raise NotImplementedError

    def at_once(self, prompts: Sequence[Laid], texts: Sequence[TokenIds]) -> Tensor:
        """[N, B, L]: prompts at reusable positions, over texts that nothing is kept of."""
        raise NotImplementedError

    def each_at_once(
        self, asked: Sequence[tuple[Sequence[Laid], Sequence[TokenIds]]]
    ) -> list[Tensor]:
        """[N, B, L] of each, as `at_once`: prompts beside texts of their own; together, where the
        family can."""
        return [self.at_once(prompts, texts) for prompts, texts in asked]

    def generations(
        self, prompts: Sequence[Laid], texts: Sequence[TokenIds]
    ) -> Iterator[Generation]:
        """N prompts' answers to B texts, being written token by token: some prompts' together, or
        each one's alone, in the order given; one after another, as each holds what it has kept.

        Raises:
            ModelError: a masked model, which writes nothing.
        """
        raise NotImplementedError

    def queries(self, prompt: Laid, texts: Sequence[TokenIds]) -> int:
        """How many query tokens a prompt that is not being trained takes in a pass, beside those of
        texts that are not reused."""
        return prompt.tokens + len(self.readout.branches)

    def expect(self, positions: Set[Position], kv: bool = False) -> None:
        """From now on the cache keeps of a text what serves prompts at all of these positions.

        Args:
            kv: KV prompts among them.
        """
        self._expected = frozenset(positions)
        self._expects_kv = kv

    def keys(self, prompts: Sequence[Laid], texts: Sequence[TokenIds]) -> list[Passage]:
        """What the cache keeps each text's states under: all that the model reads before any of
        these prompts, if not more."""
        return [Passage(text) for text in texts]

    def read_of(self, texts: Sequence[TokenIds]) -> list[int]:
        """[B], how many tokens of each text are read where nothing is kept of it."""
        return [len(text) for text in texts]

    def reuses(self, prompts: Sequence[Laid], texts: Sequence[TokenIds]) -> bool:
        """Whether these prompts may go over cached texts."""
        return all(map(self._leaves_texts, prompts)) and self.trusts_cache(texts)

    @abstractmethod
    def _leaves_texts(self, prompt: Laid) -> bool:
        """Whether a prompt leaves the hidden states of the text as they are."""

    def fill(self, prompts: Sequence[Laid], texts: Sequence[TokenIds]) -> CachedTexts:
        """The texts that these prompts go over, encoded first where they are not in the cache."""
        return self.cache.batch(self.keys(prompts, texts))

    def trusts_cache(self, texts: Sequence[TokenIds]) -> bool:
        """Whether cached texts are used: decided once, by trying them beside the plain path; and
        not for a batch with a text that does not fit the model's window.

        Args:
            texts: a few of them serve for trying.
        """
        if any(len(text) > self.longest_reused for text in texts):
            self.distrust = (
                "batches with a text that does not fit this model's window beside the longest "
                f"prompt ({self.longest_reused} tokens are left for it) do not use the text cache"
            )
            return False
        if self._trusts_cache is None and is_known(self.model.trust_file):
            self._trusts_cache = True
        if self._trusts_cache is None:
            step = max(1, len(texts) // self._tried)
            trials = [texts[first::step][: self._tried] for first in range(min(step, _TRIALS))]
            if any(trials[0]):  # without a token there is nothing to reuse, and nothing to learn
                self._try_cache(trials)
        return bool(self._trusts_cache)

    def _try_cache(self, trials: Sequence[Sequence[TokenIds]]) -> None:
        """Settle whether the cache is trusted, by the first of these texts; by more of them, where
        those leave it open.

        Out of memory says nothing of that: fewer texts are tried, from now on. Where one is too
        many, nothing is settled, and the plain path serves until the next call tries again.
        """
        apart = astray = 0.0
        for texts in trials:
            found = self._tried_on(texts)
            if found is None:
                return
            if isinstance(found, str):
                self.distrust = found
                break
            apart, astray = apart + found[0], astray + found[1]
            bound = self._tolerance * astray
            self.distrust = None
            if apart > bound:
                self.distrust = (
                    f"the text cache is not used, as its logits lie {found[0]:.2g} from the plain "
                    f"ones where the loss of a token makes {found[1]:.2g}"
                )
            if not bound / _OPEN < apart < bound * _OPEN:
                break
        self._trusts_cache = self.distrust is None
        if self.distrust is not None:
            log.warning(self.distrust)
        else:
            keep(self.model.trust_file, f"logits {apart:.3g} apart, {astray:.3g} without a token")

    @property
    def _tolerance(self) -> float:
        few_bits = getattr(self.model.model, "is_quantized", False)
        return _TOLERANCE[torch.bfloat16 if few_bits else self.model.dtype]

    def _tried_on(self, texts: Sequence[TokenIds]) -> tuple[float, float] | str | None:
        """As `_apart`, on as many of the texts as memory holds; None where that is none."""
        while True:
            try:
                return self._apart(texts)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self._tried = max(1, len(texts) // 2)
            if len(texts) == 1:
                return None
            texts = sorted(filter(None, texts), key=len)[: self._tried]

    @torch.no_grad()
    def _apart(self, texts: Sequence[TokenIds]) -> tuple[float, float] | str:
        """How far cached logits lie from the plain ones on the mean, and what the loss of a token
        makes of these; or why the model cannot go on from a cache."""
        longest = max(texts, key=len)
        parts = [part for part in (longest[:3], longest[4:7], longest[-2:]) if part]
        probe, shorter = (
            [lay(self.model.embed(part[less:]), self.reusable[0]) for part in parts]
            for less in (0, 1)
        )
        try:
            [cached] = self.cached([(probe, self.fill(probe, texts))])
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
            if is_out_of_memory(error) or is_device_broken(error):
                raise
            return f"the text cache is not used, as this model cannot go on from one: {error}"
        plain, other = (
            torch.stack([self.trusted(prompt, texts) for prompt in prompts])
            for prompts in (probe, shorter)
        )
        apart, astray = (float((scores - plain).abs().mean()) for scores in (cached, other))
        return apart, astray

    def pad(self, rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Rows of [T, H], T their own, as [B, T, H] padded on the right, and the lengths [B]."""
        lengths = torch.tensor([len(row) for row in rows], device=self.model.device)
        return pad_sequence(list(rows), batch_first=True), lengths

    def read_behind(self, readout: Behind) -> Tensor:
        """[B or 1, M, H], the trie of what is read behind the question; 1 where it is the same
        behind every text."""
        if isinstance(readout, Continuations):
            return self.model.embed(readout.read)
        return self.model.embed(readout.branches.tokens)[None]

    def read_by_path(self) -> Iterator[tuple[Tensor, int]]:
        """The same, path by path of the trie: [B or 1, M, H], and how many of the last of these M
        tokens no path before had."""
        if isinstance(self.readout, Continuations):
            yield self.read_behind(self.readout), len(self.readout.branches)
            return
        for path, new in self.readout.branches.paths():
            yield self.model.embed(path)[None], new

    @property
    def wanted(self) -> Tensor | None:
        """[B, T], the one token that each text's answer has at each place; None where tokens of the
        readout are asked for."""
        return self.readout.tokens if isinstance(self.readout, Continuations) else None

    def ask(self, keep: Tensor, wanted: Tensor | None = None, **arguments: Any) -> Tensor:
        """What the readout reads: logits, as `FrozenModel.logits` gives them, or one
        log-probability at each place, [B, N, 1].

        Args:
            wanted: [B, N], the token at each place.
        """
        if wanted is not None:
            return self.model.log_probs(keep, wanted, **arguments)[..., None]
        self.model.keep_logits_of(self.readout.kept)
        return self.model.logits(keep, **arguments)


def real(lengths: Tensor, width: int) -> Tensor:
    """[B, width] of 0/1: which places hold a token."""
    return (torch.arange(width, device=lengths.device) < lengths[:, None]).long()
