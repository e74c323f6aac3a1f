"""Scoring: what the frozen model says of a text beside a prompt, as probabilities of the labels.

Prompts that leave the text as the model read it go over cached texts, several in one pass; others
run the whole input every time. Both ways give the same numbers: see `families`.
"""

import functools
from collections.abc import Callable, Iterator, Sequence, Set
from typing import NamedTuple

import torch
from torch import Tensor

from autoprompt.search_spaces.errors import ModelError
from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.answers.vocabulary_readout import Nothing
from autoprompt.workers.batches import TokenBudget, windows
from autoprompt.workers.families import FAMILIES
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.prompt import Laid, Prompt, lay, lay_rows
from autoprompt.workers.rows import Text
from autoprompt.workers.task import Task, TaskSpec, build_task
from autoprompt.workers.text_cache import CacheSpec, TextCache
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.wording import Wording

#: Tokens in one forward pass without gradients: more no longer fit the processor's caches.
_TOKENS_PER_BATCH = 2048

#: A cached token's part in the cost of a pass: it is fetched, not computed.
_READ = 4

#: Query tokens behind each text, of the prompts packed into one pass.
_TOKENS_PER_PACK = 128

#: Query tokens of one training pass, of all prompts and texts in it: a few hundred keep a processor
#: busy (`benchmarks.limit`), and what is kept of each for the gradients takes memory.
_TOKENS_PER_STEP = 512
_TOKENS_PER_STEP_ON_GPU = 1 << 14


class Asked(NamedTuple):
    """N prompts, each of which is asked of all of B texts."""

    prompts: Sequence[Laid]
    texts: Sequence[TokenIds]


class Scorer:
    """One model and one task: texts and prompts in, label probabilities out.

    Attributes:
        cache: the text cache, which grows with every text scored by a prompt that can reuse it.
        truncated: how many texts were cut to fit the model's context so far.
    """

    def __init__(
        self, model: FrozenModel, task: Task, longest_prompt: int, cache: TextCache | None = None
    ) -> None:
        """A scorer.

        Args:
            longest_prompt: tokens to leave room for beside every text.
            cache: the text cache to use; one in memory alone where none is given.
        """
        self.model = model
        self.task = task
        self.cache = cache or TextCache(model)
        self.truncated = 0
        self.family = FAMILIES[model.family](model, task, self.cache)
        self.family.longest_reused = longest_text(model.window, task, longest_prompt)
        self._budget = TokenBudget(_TOKENS_PER_BATCH)
        #: A training batch is one pass until memory says otherwise, and shares it with others up to
        #: a bound.
        self.training_budget = TokenBudget(1 << 30)
        on_gpu = model.device.type == "cuda"
        self.step_budget = TokenBudget(_TOKENS_PER_STEP_ON_GPU if on_gpu else _TOKENS_PER_STEP)
        self._longest_prompt = longest_prompt
        self._longest_text = longest_text(model.context_length, task, longest_prompt)

    @property
    def wording(self) -> Wording:
        return self.task.answers.wording

    def reworded(self, wording: Wording) -> "Scorer":
        """A scorer of other words on the same model, over the same cached texts."""
        other = self.seated(build_task(wording, self.model.tokenizer, self.model.family))
        other.family.trust_like(self.family)
        return other

    def seated(self, task: Task) -> "Scorer":
        """A scorer of another task on the same model, over the same cached texts."""
        return Scorer(self.model, task, self._longest_prompt, self.cache)

    def tokenize(self, texts: Sequence[Text]) -> list[TokenIds]:
        """Each text as `Question.read` has it, cut where the model's context ends."""
        encoded = self.task.question.read(texts)
        self.truncated += sum(len(ids) > self._longest_text for ids in encoded)
        return [ids[: self._longest_text] for ids in encoded]

    def prefill(
        self, texts: Sequence[TokenIds], positions: Set[Position], kv: bool = False
    ) -> None:
        """Fill the cache ahead of its use, if prompts at any of these positions can use it.

        Args:
            texts: all that will be used, the ones used most first: not all may fit.
            kv: whether KV prompts are among them.
        """
        family = self.family
        family.expect(positions, kv)
        usable = [position for position in family.reusable if position in positions]
        texts = [text for text in texts if len(text) <= family.longest_reused]
        if usable and texts and self.model.may_reuse_text:
            # First, as texts that the cache is tried on are brought to their places, too.
            self.cache.keep(family.keys([lay(torch.empty(1, 0), usable[0])], texts))
            if family.trusts_cache(texts):
                self.cache.prefill()

    def logits_of(self, asked: Sequence[Asked]) -> list[Tensor]:
        """`label_logits` of each: in one pass, where all of them may go over cached texts."""
        family = self.family
        if len(asked) > 1 and all(family.reuses(*one) for one in asked):
            return family.cached([(one.prompts, family.fill(*one)) for one in asked])
        return [self.label_logits(*one) for one in asked]

    def label_logits(
        self, prompts: Sequence[Laid], texts: Sequence[TokenIds], *, once: bool = False
    ) -> Tensor:
        """The labels' logits for every prompt beside every text; gradients flow to the prompts.

        Args:
            prompts: N prompts' embeddings; an empty one is the template by itself.
            texts: B texts from `tokenize`.
            once: these texts will not be asked for again, so they are not put into the cache.

        Returns:
            [N, B, L] float32.
        """
        family = self.family
        if family.reuses(prompts, texts):
            if once:
                return family.at_once(prompts, texts)
            return family.cached([(prompts, family.fill(prompts, texts))])[0]
        rows = []
        for prompt in prompts:
            shared = family.behind_front(prompt, texts)
            rows.append(family.plain(prompt, texts) if shared is None else shared)
        return torch.stack(rows)

    @torch.no_grad()
    def log_probs(
        self, prompts: Sequence[Prompt], texts: Sequence[TokenIds], *, once: bool = False
    ) -> Tensor:
        """The labels' log-probabilities, in batches of texts of like length.

        Args:
            once: as in `label_logits`.

        Returns:
            [N, B, L] float32 on the CPU.
        """
        result = torch.empty(len(prompts), len(texts), self.task.readout.size)
        if not len(texts):
            return result
        lengths = self.family.read_of(texts)
        shapes = [self._shape(prompt) for prompt in prompts]
        packs = list(self.packs(shapes, texts))
        # What the first pack read, the next ones find.
        once = once and sum(reuses for _, reuses in packs) <= 1
        for pack, reuses in packs:
            embedded = [prompts[n].embedded(self.model) for n in pack]
            cost = sum(self.family.queries(shapes[n], texts) for n in pack)
            part = _READ if reuses and not once else 1
            costs = [cost + length // part for length in lengths]
            priors = self._priors([prompts[n] for n in pack])
            rows = torch.tensor(pack)[:, None]
            # Bound now: `run` may call this again with a part of a batch.
            score = functools.partial(self._score, embedded, texts, priors, once)
            for batch, scores in self._budget.run(lengths, costs, score):
                result[rows, torch.tensor(batch)] = scores
        return result

    def losses(
        self, prompts: Sequence[Prompt], texts: Sequence[TokenIds], expected: Tensor
    ) -> Tensor:
        """[N, B], of N prompts on B texts whose answers are `expected` [B]."""
        return self.task.readout.surprise(self.log_probs(prompts, texts), expected)

    def _score(
        self,
        prompts: Sequence[Laid],
        texts: Sequence[TokenIds],
        priors: Tensor,
        once: bool,
        batch: Sequence[int],
    ) -> Tensor:
        """[N, B, L] of one batch, on the CPU."""
        logits = self.label_logits(prompts, [texts[index] for index in batch], once=once)
        return self.task.readout.log_probs(logits.cpu(), priors)

    def _priors(self, prompts: Sequence[Prompt]) -> Tensor:
        """[N, 1, L] to take off the logits; 0 for a prompt that is not calibrated."""
        none = (0.0,) * self.task.readout.size
        return torch.tensor([prompt.prior or none for prompt in prompts])[:, None]

    @torch.no_grad()
    def hidden_states(self, texts: Sequence[TokenIds]) -> Iterator[tuple[list[int], Tensor]]:
        """What the model makes of the template alone where its answer is asked for (its end, the
        mask, or what the decoder begins with), over cached texts where they can be used: the places
        of B texts, and their states in every layer, [layers, B, H] float32 on the CPU.

        Raises:
            ModelError: the model does not tell its states.
        """
        family, alone = self.family.asking(Nothing()), Prompt("").embedded(self.model)
        lengths = family.read_of(texts)

        def read(batch: list[int]) -> Tensor:
            own = [texts[index] for index in batch]
            cached = family.fill([alone], own) if family.reuses([alone], own) else None
            with self.model.telling_states() as states:
                if cached is None:
                    family.plain(alone, own)
                else:
                    family.cached([([alone], cached)])
            if not states:
                raise ModelError("this model does not tell its hidden states")
            return torch.stack([layer.flatten(0, 1).float().cpu() for layer in states[1:]])

        yield from self._budget.run(lengths, lengths, read)

    def score_texts(
        self,
        prompts: Sequence[Prompt],
        texts: Sequence[Text],
        advance: Callable[[int], None] = lambda done: None,
        beside: Callable[[list[int]], None] | None = None,
    ) -> Tensor:
        """Like `log_probs`, for texts that are scored once: they never enter the cache.

        Args:
            advance: called with the number of texts done since the last call.
            beside: called with the places of texts that have been scored, and are in the cache
                until it returns.

        Returns:
            [N, B, L] float32 on the CPU.
        """
        log_probs = torch.empty(len(prompts), len(texts), self.task.readout.size)
        for window in windows(texts):
            chunk = self.tokenize([texts[index] for index in window])
            log_probs[:, window] = self.log_probs(prompts, chunk, once=beside is None)
            if beside is not None:
                beside(window)
                self.cache.forget()
            advance(len(window))
        return log_probs

    def packs(
        self, prompts: Sequence[Laid], texts: Sequence[TokenIds]
    ) -> Iterator[tuple[list[int], bool]]:
        """Which of N prompts share a pass, and whether it goes over reused texts."""
        pack: list[int] = []
        cost = 0
        for n in range(len(prompts)):
            if not self.family.reuses([prompts[n]], texts):
                yield [n], False
                continue
            more = self.family.queries(prompts[n], texts)
            if pack and cost + more > _TOKENS_PER_PACK:
                yield pack, True
                pack, cost = [], 0
            pack.append(n)
            cost += more
        if pack:
            yield pack, True

    def _shape(self, prompt: Prompt) -> Laid:
        """The prompt as its family sees it, without embedding it."""
        shape = torch.empty(len(prompt), 0)
        if prompt.kind == "kv":
            return lay_rows(shape, prompt.position)
        return lay(shape, prompt.position, prompt.front)


def load_scorer(
    model: ModelSpec, task: TaskSpec, longest_prompt: int, cache: CacheSpec | None = None
) -> Scorer:
    """Load the model, and seat the task on it.

    Args:
        cache: how much to keep, and in which files to share it; without one, in memory alone.

    Raises:
        ModelError: it cannot be found or is no language model.
    """
    frozen = load_model(model)
    texts = TextCache(frozen) if cache is None else cache.open(frozen)
    seated = build_task(task, frozen.tokenizer, frozen.family)
    return Scorer(frozen, seated, longest_prompt, texts)


def longest_text(context: int | None, task: Task, longest_prompt: int) -> int:
    """The most tokens a text in its template may take beside the longest prompt.

    Args:
        context: of one input, or that a layer looks back on; None for no bound.
    """
    if context is None:
        return 1 << 30
    behind = len(task.question.tail_ids) + len(task.question.end_ids)
    return max(context - longest_prompt - behind - task.readout.branches.depth, 0)
