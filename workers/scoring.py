"""Scoring: what the frozen model says of a text beside a prompt, as probabilities of the labels.

Suffix prompts take the cached path: several of them share one pass over the same cached text,
each attending to the text and to itself only (a block-diagonal mask). Prefix prompts, and models
whose cache cannot be reused, take the plain path, which runs the whole input every time. Both
paths give the same numbers.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from search_spaces.schema import Position
from workers.batches import TokenBudget
from workers.frozen_model import FrozenModel
from workers.model_files import ModelSpec
from workers.prompt import Prompt
from workers.task import Task, TaskSpec, build_task
from workers.text_cache import CacheSpec, TextCache, TokenIds

log = logging.getLogger(__name__)

#: Tokens in one forward pass without gradients: more no longer fit the processor's caches.
_TOKENS_PER_BATCH = 2048

#: Query tokens of the prompts packed into one pass. Every one of them is compared with every
#: other before the mask hides it, which costs more than it saves beyond this.
_TOKENS_PER_PACK = 128

#: Texts that are scored once are in the cache this many at a time.
_TEXTS_PER_CHUNK = 256

#: How far cached and plain logits may lie apart before the cache is not trusted. Logits of label
#: words are around 10 to 30, where bfloat16 keeps two to three digits.
_TOLERANCE = {torch.float32: 1e-2, torch.float16: 0.1, torch.bfloat16: 1.0}


class Scorer:
    """One model and one task: texts and prompts in, label probabilities out.

    Attributes:
        cache: the text cache, which grows with every text scored by a suffix prompt.
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
        self._budget = TokenBudget(_TOKENS_PER_BATCH)
        self._longest_text = longest_text(model.context_length, task, longest_prompt)
        self._reuses_text: bool | None = None if model.may_reuse_text else False
        model.keep_logits_of(task.label_token_ids)

    def tokenize(self, texts: Sequence[str]) -> list[TokenIds]:
        """The template's head and each text as tokens, cut where the model's context ends."""
        encoded = self.model.tokenizer([self.task.head + text for text in texts]).input_ids
        self.truncated += sum(len(ids) > self._longest_text for ids in encoded)
        return [tuple(ids[: self._longest_text]) for ids in encoded]

    def label_logits(
        self, prompts: Sequence[Tensor], position: Position, texts: Sequence[TokenIds]
    ) -> Tensor:
        """The labels' logits for every prompt beside every text; gradients flow to the prompts.

        Args:
            prompts: N tensors of [P, H], P their own; an empty one is the template by itself.
            texts: B texts from `tokenize`.

        Returns:
            [N, B, L] float32.
        """
        asks = all(len(prompt) for prompt in prompts)
        if position == "suffix":
            asks = asks or bool(self.task.tail_ids)
        if position == "suffix" and asks and self.reuses_text(texts):
            self.cache.fill(texts)
            return self._cached(prompts, texts)
        trained = any(prompt.requires_grad for prompt in prompts)
        if position == "prefix" and asks and not trained and self.reuses_text(texts):
            return torch.stack([self._behind_prefix(prompt, texts) for prompt in prompts])
        return torch.stack([self._plain(prompt, position, texts) for prompt in prompts])

    @torch.no_grad()
    def log_probs(self, prompts: Sequence[Prompt], texts: Sequence[TokenIds]) -> Tensor:
        """The labels' log-probabilities, in batches of texts of like length.

        Returns:
            [N, B, L] float32 on the CPU.
        """
        result = torch.empty(len(prompts), len(texts), len(self.task.labels))
        for position in ("suffix", "prefix"):
            members = [n for n, prompt in enumerate(prompts) if prompt.position == position]
            if not members:
                continue
            reuses = position == "suffix" and self.reuses_text(texts)
            for pack, cost in self._packs(prompts, members, reuses):
                embedded = [prompts[n].embedded(self.model) for n in pack]
                lengths = [len(text) for text in texts]
                costs = [cost + (0 if reuses else length) for length in lengths]
                priors = self._priors([prompts[n] for n in pack])
                rows = torch.tensor(pack)[:, None]
                # Bound now: `run` may call this again with a part of a batch.
                score = functools.partial(self._score, embedded, position, texts, priors)
                for batch, scores in self._budget.run(lengths, costs, score):
                    result[rows, torch.tensor(batch)] = scores
        return result

    def _score(
        self,
        prompts: Sequence[Tensor],
        position: Position,
        texts: Sequence[TokenIds],
        priors: Tensor,
        batch: Sequence[int],
    ) -> Tensor:
        """[N, B, L] of one batch, on the CPU."""
        logits = self.label_logits(prompts, position, [texts[index] for index in batch])
        return torch.log_softmax(logits.cpu() - priors, dim=-1)

    def _priors(self, prompts: Sequence[Prompt]) -> Tensor:
        """[N, 1, L] to take off the logits; 0 for a prompt that is not calibrated."""
        labels = len(self.task.labels)
        return torch.tensor([prompt.prior or (0.0,) * labels for prompt in prompts])[:, None]

    def score_texts(
        self,
        prompts: Sequence[Prompt],
        texts: Sequence[str],
        advance: Callable[[int], None] = lambda done: None,
    ) -> Tensor:
        """Like `log_probs`, for texts that are scored once: none of them stays in the cache.

        Args:
            advance: called with the number of texts done since the last call.

        Returns:
            [N, B, L] float32 on the CPU.
        """
        parts = [torch.empty(len(prompts), 0, len(self.task.labels))]
        for start in range(0, len(texts), _TEXTS_PER_CHUNK):
            chunk = self.tokenize(texts[start : start + _TEXTS_PER_CHUNK])
            after = any(prompt.position == "suffix" for prompt in prompts)
            if after and self.reuses_text(chunk, keep=False):
                self.cache.fill(chunk, keep=False)
            parts.append(self.log_probs(prompts, chunk))
            self.cache.forget(chunk)
            advance(len(chunk))
        return torch.cat(parts, dim=1)

    def _packs(
        self, prompts: Sequence[Prompt], members: list[int], reuses: bool
    ) -> Iterator[tuple[list[int], int]]:
        """Which prompts share a pass, and how many query tokens they bring."""
        tail = len(self.task.tail_ids)
        pack: list[int] = []
        cost = 0
        for n in members:
            more = len(prompts[n]) + tail
            if pack and (not reuses or cost + more > _TOKENS_PER_PACK):
                yield pack, cost
                pack, cost = [], 0
            pack.append(n)
            cost += more
        if pack:
            yield pack, cost

    @torch.no_grad()
    def reuses_text(self, texts: Sequence[TokenIds], *, keep: bool = True) -> bool:
        """Whether the cached path is taken: decided once, by trying it beside the plain one.

        Args:
            texts: two of them serve for trying.
            keep: whether they are worth a file, as in `TextCache.fill`.
        """
        if self._reuses_text is None:
            sample = list(texts[:2])
            probe = [self.model.embed(sample[0][:3]), self.model.embed(sample[-1][-2:])]
            try:
                self.cache.fill(sample, keep=keep)
                cached = self._cached(probe, sample)
            except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
                log.warning("this model's text cache cannot be reused: %s", error)
                self._reuses_text = False
                return False
            plain = torch.stack([self._plain(each, "suffix", sample) for each in probe])
            apart = float((cached - plain).abs().max())
            self._reuses_text = apart <= _TOLERANCE[self.model.dtype]
            if not self._reuses_text:
                log.warning("text cache not used: its logits lie %.2g from the plain ones", apart)
        return self._reuses_text

    def _cached(self, prompts: Sequence[Tensor], texts: Sequence[TokenIds]) -> Tensor:
        """[N, B, L]: all prompts in one pass behind the cached texts."""
        model = self.model
        tail = model.embed(self.task.tail_ids)
        blocks = [torch.cat([prompt.to(tail), tail]) for prompt in prompts]
        past = self.cache.batch(texts)
        lengths = torch.tensor([len(block) for block in blocks], device=model.device)
        owner = torch.repeat_interleave(torch.arange(len(blocks), device=model.device), lengths)
        offset = torch.cat([torch.arange(len(block), device=model.device) for block in blocks])
        inside = (owner[:, None] == owner) & (offset[:, None] >= offset)
        count, queries = len(texts), len(owner)
        visible = torch.cat(
            [
                past.mask[:, None, :].expand(-1, queries, -1),
                inside.expand(count, -1, -1),
            ],
            dim=-1,
        )
        # Added to attention scores; understood by every attention implementation.
        mask = torch.zeros(visible.shape, dtype=model.dtype, device=model.device)
        mask.masked_fill_(~visible, torch.finfo(model.dtype).min)
        logits = model.logits(
            torch.cat(blocks).expand(count, -1, -1),
            mask[:, None],
            past.lengths[:, None] + offset,
            keep=lengths.cumsum(0) - 1,
            past_key_values=past.past_key_values,
        )
        return logits.transpose(0, 1)

    def _behind_prefix(self, prompt: Tensor, texts: Sequence[TokenIds]) -> Tensor:
        """[B, L]: texts behind a prefix that is not being trained, whose own keys and values are
        computed once and shared by all of them."""
        model = self.model
        count, width = len(texts), len(prompt)
        past = DynamicCache()
        here = torch.arange(width, device=model.device)
        ones = torch.ones(1, width, dtype=torch.long, device=model.device)
        model.logits(
            prompt[None].to(model.dtype), ones, here[None], here[None, -1:], past_key_values=past
        )
        past.batch_repeat_interleave(count)
        rows = [torch.tensor((*text, *self.task.tail_ids)) for text in texts]
        lengths = torch.tensor([len(row) for row in rows], device=model.device)
        ids = pad_sequence(rows, batch_first=True).to(model.device)
        offset = torch.arange(ids.shape[1], device=model.device)
        logits = model.logits(
            model.embed(ids),
            torch.cat([ones.expand(count, -1), (offset < lengths[:, None]).long()], dim=1),
            (width + offset).expand(count, -1),
            keep=lengths[:, None] - 1,
            past_key_values=past,
        )
        return logits[:, 0]

    def _plain(self, prompt: Tensor, position: Position, texts: Sequence[TokenIds]) -> Tensor:
        """[B, L]: the whole input of each text in one pass, padded on the right."""
        model = self.model
        tail = model.embed(self.task.tail_ids)
        prompt = prompt.to(tail)
        rows = []
        for text in texts:
            body = model.embed(text)
            parts = [body, prompt, tail] if position == "suffix" else [prompt, body, tail]
            rows.append(torch.cat(parts))
        lengths = torch.tensor([len(row) for row in rows], device=model.device)
        embeds = pad_sequence(rows, batch_first=True)
        positions = torch.arange(embeds.shape[1], device=model.device)
        logits = model.logits(
            embeds,
            (positions < lengths[:, None]).long(),
            positions.expand(len(rows), -1),
            keep=lengths[:, None] - 1,
        )
        return logits[:, 0]


def load_scorer(
    model: ModelSpec, task: TaskSpec, longest_prompt: int, cache: CacheSpec | None = None
) -> Scorer:
    """Load the model, and seat the task on it.

    Args:
        cache: how much to keep, and in which files to share it; without one, in memory alone.

    Raises:
        ModelError: it cannot be found or is not a causal language model.
    """
    frozen = FrozenModel.load(model)
    texts = TextCache(frozen) if cache is None else cache.open(frozen)
    return Scorer(frozen, build_task(task, frozen.tokenizer), longest_prompt, texts)


def longest_text(context: int | None, task: Task, longest_prompt: int) -> int:
    """The most tokens a text (with the template's head) may take beside the longest prompt."""
    if context is None:
        return 1 << 30
    return max(context - longest_prompt - len(task.tail_ids), 0)
