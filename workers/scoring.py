"""Scoring: what the frozen model says of a text beside a prompt, as probabilities of the labels.

Prompts that leave the text as the model read it go over cached texts, several in one pass; others
run the whole input every time. Both ways give the same numbers: see `families`.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from autoprompt.search_spaces.errors import ModelError
from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.answers import Right
from autoprompt.workers.answers.vocabulary_readout import Nothing
from autoprompt.workers.batches import TokenBudget, windows
from autoprompt.workers.continuations import Continuations
from autoprompt.workers.families import FAMILIES, Family
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.prompt import Laid, Prompt, lay
from autoprompt.workers.prompt_batches import in_batches, packs_of, shapes_of
from autoprompt.workers.rows import Text
from autoprompt.workers.task import Task, build_task
from autoprompt.workers.text_cache import TextCache
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.wording import Wording

#: Tokens in one forward pass without gradients: more no longer fit the processor's caches.
_TOKENS_PER_BATCH = 2048

#: Query tokens of one training pass, of all prompts and texts in it: a few hundred keep a processor
#: busy (`benchmarks.limit`), and what is kept of each for the gradients takes memory.
_TOKENS_PER_STEP = 512
_TOKENS_PER_STEP_ON_GPU = 1 << 14


class Asked(NamedTuple):
    """N prompts, each of which is asked of all of B texts.

    Attributes:
        continuations: what follows each of the texts, where that is asked instead of the answers.
    """

    prompts: Sequence[Laid]
    texts: Sequence[TokenIds]
    continuations: Sequence[TokenIds] | None = None


class Scorer:
    """One model and one task: texts and prompts in, label probabilities out.

    Attributes:
        cache: the text cache, which grows with every text scored by a prompt that can reuse it.
        truncated: how many texts were cut to fit the model's context so far.
        budget: of a pass without gradients.
        rereads: whether a text is read for each of its answers, so that it is kept even where it is
            scored once.
    """

    rereads: ClassVar[bool] = False

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
        self.budget = TokenBudget(_TOKENS_PER_BATCH)
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
        return type(self)(self.model, task, self._longest_prompt, self.cache)

    def tokenize(
        self, texts: Sequence[Text], rights: Sequence[Right] | None = None
    ) -> list[TokenIds]:
        """Each text as `Question.read` has it, cut where the model's context ends; with what may be
        answered to it, where that differs from text to text.

        Args:
            rights: their right answers, where they are known.
        """
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
        texts = self.fitting(texts, positions, kv)
        if texts:
            at = next(position for position in family.reusable if position in positions)
            # First, as texts that the cache is tried on are brought to their places, too.
            self.cache.keep(family.keys([lay(torch.empty(1, 0), at)], texts))
            if family.trusts_cache(texts):
                self.cache.prefill()

    def fitting(
        self, texts: Sequence[TokenIds], positions: Set[Position], kv: bool = False
    ) -> list[TokenIds]:
        """The texts that prompts at any of these positions may reuse, which the family is told to
        expect; none where they may reuse none."""
        self.family.expect(positions, kv)
        if not self.model.may_reuse_text or not positions & set(self.family.reusable):
            return []
        return [text for text in texts if len(text) <= self.family.longest_reused]

    def logits_of(self, asked: Sequence[Asked]) -> list[Tensor]:
        """`found` of each: in one pass, where all of them may go over cached texts."""
        if len(asked) > 1 and all(self.family.reuses(one.prompts, one.texts) for one in asked):
            cached = [(one.prompts, self.family.fill(one.prompts, one.texts)) for one in asked]
            return self.family.cached(cached, [self._asking(one).readout for one in asked])
        return [self.found(one) for one in asked]

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
        return self.found(Asked(prompts, texts), once=once)

    def queries(self, prompt: Laid, texts: Sequence[TokenIds]) -> int:
        """The query tokens of a prompt in a pass over B texts that are reused."""
        return self.family.queries(prompt, texts) * len(texts)

    def forced_log_probs(
        self,
        prompts: Sequence[Laid],
        texts: Sequence[TokenIds],
        continuations: Sequence[TokenIds],
    ) -> Tensor:
        """How probable the model finds each token of what follows a text and a prompt, behind those
        before it: teacher forcing. Gradients flow to the prompts.

        Args:
            texts: B; one that stands among them several times is read once where a prompt may
                reuse it.
            continuations: B, of T tokens at most.

        Returns:
            [N, B, T] log-probabilities in float32; 0 beyond a text's own.

        Raises:
            ModelError: a masked model.
        """
        return self.found(Asked(prompts, texts, continuations))

    def found(self, asked: Asked, *, once: bool = False) -> Tensor:
        """[N, B, L] as `label_logits`, or as `forced_log_probs` where there are continuations."""
        family, (prompts, texts, _) = self._asking(asked), asked
        if not family.reuses(prompts, texts):
            return torch.stack([family.plain(prompt, texts) for prompt in prompts])
        if once:
            return family.at_once(prompts, texts)
        return family.cached([(prompts, family.fill(prompts, texts))])[0]

    def _asking(self, asked: Asked) -> Family:
        """The family, asked for what follows these texts where that is given."""
        if asked.continuations is None:
            return self.family
        self.family.trusts_cache(asked.texts)
        return self.family.asking(Continuations.of(asked.continuations, self.model.device))

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
        readout = self.task.readout
        result = torch.empty(len(prompts), len(texts), readout.size)

        def score(pack: list[int], laid: list[Laid], once: bool, batch: list[int]) -> Tensor:
            logits = self.label_logits(laid, [texts[index] for index in batch], once=once)
            priors = self.priors([prompts[n] for n in pack])
            return readout.log_probs(logits.cpu(), priors)

        passes = in_batches(self.family, self.budget, prompts, texts, score, once=once)
        for pack, batch, scores in passes:
            result[torch.tensor(pack)[:, None], torch.tensor(batch)] = scores
        return result

    @torch.no_grad()
    def log_probs_each(
        self, asked: Sequence[tuple[Sequence[Prompt], Sequence[TokenIds]]]
    ) -> list[Tensor]:
        """`log_probs` of each: prompts beside texts of their own, which are scored once; those that
        fit one pass over reused texts share it with the others'."""
        found: dict[int, Tensor] = {}
        places: list[tuple[int, int]] = []
        costs: list[int] = []
        laid: dict[int, list[Laid]] = {}
        for own, (prompts, texts) in enumerate(asked):
            packs = [] if self.rereads else list(packs_of(self.family, shapes_of(prompts), texts))
            if len(asked) == 1 or len(packs) != 1 or not packs[0][1]:
                found[own] = self.log_probs(prompts, texts, once=True)
                continue
            found[own] = torch.empty(len(prompts), len(texts), self.task.readout.size)
            laid[own] = [prompt.embedded(self.model) for prompt in prompts]
            queries = sum(self.family.queries(prompt, texts) for prompt in laid[own])
            places += [(own, place) for place in range(len(texts))]
            costs += [queries + length for length in self.family.read_of(texts)]

        def score(batch: list[int]) -> None:
            lots: dict[int, list[int]] = {}
            for own, place in sorted(places[index] for index in batch):
                lots.setdefault(own, []).append(place)
            together = [
                (laid[own], [asked[own][1][place] for place in part]) for own, part in lots.items()
            ]
            logits = self.family.each_at_once(together)
            for (own, part), scores in zip(lots.items(), logits, strict=True):
                priors = self.priors(asked[own][0])
                found[own][:, part] = self.task.readout.log_probs(scores.cpu(), priors)

        for _ in self.budget.run(costs, costs, score):
            pass
        return [found[own] for own in range(len(asked))]

    def losses(
        self, prompts: Sequence[Prompt], texts: Sequence[TokenIds], expected: Tensor
    ) -> Tensor:
        """[N, B], of N prompts on B texts whose answers are `expected` [B]."""
        return self.task.readout.surprise(self.log_probs(prompts, texts), expected)

    def priors(self, prompts: Sequence[Prompt]) -> Tensor:
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

        yield from self.budget.run(lengths, lengths, read)

    def score_texts(
        self,
        prompts: Sequence[Prompt],
        texts: Sequence[Text],
        advance: Callable[[int], None] = lambda done: None,
        beside: Callable[[list[int]], None] | None = None,
        rights: Sequence[Right] | None = None,
    ) -> Tensor:
        """Like `log_probs`, for texts that are scored once: they never enter the cache.

        Args:
            advance: called with the number of texts done since the last call.
            beside: called with the places of texts that have been scored, and are in the cache
                until it returns.
            rights: the texts' right answers, where they are known.

        Returns:
            [N, B, L] float32 on the CPU.
        """
        log_probs = torch.empty(len(prompts), len(texts), self.task.readout.size)
        keeps = beside is not None or self.rereads
        for window in windows(texts):
            known = None if rights is None else [rights[index] for index in window]
            chunk = self.tokenize([texts[index] for index in window], known)
            log_probs[:, window] = self.log_probs(prompts, chunk, once=not keeps)
            if beside is not None:
                beside(window)
            if keeps:
                self.cache.forget()
            advance(len(window))
        return log_probs


def longest_text(context: int | None, task: Task, longest_prompt: int) -> int:
    """The most tokens a text in its template may take beside the longest prompt.

    Args:
        context: of one input, or that a layer looks back on; None for no bound.
    """
    if context is None:
        return 1 << 30
    behind = len(task.question.tail_ids) + len(task.question.end_ids)
    return max(context - longest_prompt - behind - task.readout.room, 0)
