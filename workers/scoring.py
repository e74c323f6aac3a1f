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
from workers.packing import side_by_side
from workers.prompt import Prompt
from workers.readout import Readout
from workers.task import Task, TaskSpec, build_task
from workers.text_cache import CacheSpec, TextCache, TokenIds

log = logging.getLogger(__name__)

#: Tokens in one forward pass without gradients: more no longer fit the processor's caches.
_TOKENS_PER_BATCH = 2048

#: Query tokens of the prompts packed into one pass. Every one of them is compared with every
#: other before the mask hides it, which costs more than it saves beyond this.
_TOKENS_PER_PACK = 128

#: Texts that are scored once are tokenized, and reported as done, this many at a time.
_TEXTS_PER_CHUNK = 256

#: How far cached and plain logits may lie apart in the mean before the cache is not trusted.
#: Logits of label words are around 10 to 30, where bfloat16 rounds to steps of 0.06 to 0.125.
_TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.03, torch.bfloat16: 0.25}


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
        #: The last prefix that was shared, and what the model made of it.
        self._prefix: tuple[Tensor, DynamicCache] | None = None
        #: A training batch is one pass until memory says otherwise.
        self.training_budget = TokenBudget(1 << 30)
        self._longest_text = longest_text(model.context_length, task, longest_prompt)
        self._reuses_text: bool | None = None if model.may_reuse_text else False
        self._readout = Readout(task)
        self._after = len(task.tail_ids) + sum(map(len, task.branches))

    def tokenize(self, texts: Sequence[str]) -> list[TokenIds]:
        """The template's head and each text as tokens, cut where the model's context ends."""
        encoded = self.model.tokenizer([self.task.head + text for text in texts]).input_ids
        self.truncated += sum(len(ids) > self._longest_text for ids in encoded)
        return [tuple(ids[: self._longest_text]) for ids in encoded]

    def label_logits(
        self,
        prompts: Sequence[Tensor],
        position: Position,
        texts: Sequence[TokenIds],
        *,
        once: bool = False,
    ) -> Tensor:
        """The labels' logits for every prompt beside every text; gradients flow to the prompts.

        Args:
            prompts: N tensors of [P, H], P their own; an empty one is the template by itself.
            texts: B texts from `tokenize`.
            once: these texts will not be asked for again, so they are not put into the cache.

        Returns:
            [N, B, L] float32.
        """
        asks = bool(self.task.tail_ids) or all(len(prompt) for prompt in prompts)
        if position == "suffix" and asks and self.reuses_text(texts):
            if once:
                return self._in_one_pass(prompts, texts)
            self.cache.fill(texts)
            return self._cached(prompts, texts)
        if position == "prefix" and self._shares_prefix(prompts, texts):
            return torch.stack([self._behind_prefix(prompt, texts) for prompt in prompts])
        return torch.stack([self._plain(prompt, position, texts) for prompt in prompts])

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
        result = torch.empty(len(prompts), len(texts), len(self.task.labels))
        for position in ("suffix", "prefix"):
            members = [n for n, prompt in enumerate(prompts) if prompt.position == position]
            if not members:
                continue
            together = position == "suffix" and self.reuses_text(texts)
            for pack, cost in self._packs(prompts, members, together):
                embedded = [prompts[n].embedded(self.model) for n in pack]
                lengths = [len(text) for text in texts]
                if position == "prefix" and self._shares_prefix(embedded, texts):
                    cost = self._after
                costs = [cost + (0 if together and not once else length) for length in lengths]
                priors = self._priors([prompts[n] for n in pack])
                rows = torch.tensor(pack)[:, None]
                # Bound now: `run` may call this again with a part of a batch.
                score = functools.partial(self._score, embedded, position, texts, priors, once)
                for batch, scores in self._budget.run(lengths, costs, score):
                    result[rows, torch.tensor(batch)] = scores
        return result

    def _score(
        self,
        prompts: Sequence[Tensor],
        position: Position,
        texts: Sequence[TokenIds],
        priors: Tensor,
        once: bool,
        batch: Sequence[int],
    ) -> Tensor:
        """[N, B, L] of one batch, on the CPU."""
        chosen = [texts[index] for index in batch]
        logits = self.label_logits(prompts, position, chosen, once=once)
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
        """Like `log_probs`, for texts that are scored once: they never enter the cache.

        Args:
            advance: called with the number of texts done since the last call.

        Returns:
            [N, B, L] float32 on the CPU.
        """
        parts = [torch.empty(len(prompts), 0, len(self.task.labels))]
        for start in range(0, len(texts), _TEXTS_PER_CHUNK):
            chunk = self.tokenize(texts[start : start + _TEXTS_PER_CHUNK])
            parts.append(self.log_probs(prompts, chunk, once=True))
            advance(len(chunk))
        return torch.cat(parts, dim=1)

    def _packs(
        self, prompts: Sequence[Prompt], members: list[int], together: bool
    ) -> Iterator[tuple[list[int], int]]:
        """Which prompts share a pass, and how many query tokens they bring."""
        pack: list[int] = []
        cost = 0
        for n in members:
            more = len(prompts[n]) + self._after
            if pack and (not together or cost + more > _TOKENS_PER_PACK):
                yield pack, cost
                pack, cost = [], 0
            pack.append(n)
            cost += more
        if pack:
            yield pack, cost

    @torch.no_grad()
    def reuses_text(self, texts: Sequence[TokenIds]) -> bool:
        """Whether the cached path is taken: decided once, by trying it beside the plain one.

        Args:
            texts: two of them serve for trying.
        """
        if self._reuses_text is None:
            sample = list(texts[:2])
            probe = [self.model.embed(sample[0][:3]), self.model.embed(sample[-1][-2:])]
            try:
                self.cache.fill(sample)
                cached = self._cached(probe, sample)
            except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
                log.warning("this model's text cache cannot be reused: %s", error)
                self._reuses_text = False
                return False
            plain = torch.stack([self._plain(each, "suffix", sample) for each in probe])
            apart = float((cached - plain).abs().mean())
            self._reuses_text = apart <= _TOLERANCE[self.model.dtype]
            if not self._reuses_text:
                log.warning("text cache not used: its logits lie %.2g from the plain ones", apart)
        return self._reuses_text

    def _cached(self, prompts: Sequence[Tensor], texts: Sequence[TokenIds]) -> Tensor:
        """[N, B, L]: all prompts in one pass behind the cached texts."""
        blocks = side_by_side(prompts, self.task, self.model)
        past = self.cache.batch(texts)
        count, queries = len(texts), len(blocks.embeds)
        visible = torch.cat(
            [
                past.mask[:, None, :].expand(-1, queries, -1),
                blocks.visible.expand(count, -1, -1),
            ],
            dim=-1,
        )
        self.model.keep_logits_of(self._readout.kept)
        logits = self.model.logits(
            blocks.embeds.expand(count, -1, -1),
            self._additive(visible),
            past.lengths[:, None] + blocks.offset,
            keep=blocks.keep,
            past_key_values=past.past_key_values,
        )
        return self._readout(logits.unflatten(1, (len(prompts), -1))).transpose(0, 1)

    def _in_one_pass(self, prompts: Sequence[Tensor], texts: Sequence[TokenIds]) -> Tensor:
        """[N, B, L]: the texts and all prompts behind them in one pass, nothing kept."""
        model = self.model
        blocks = side_by_side(prompts, self.task, self.model)
        ids = pad_sequence([torch.tensor(text) for text in texts], batch_first=True)
        ids = ids.to(model.device)
        lengths = torch.tensor([len(text) for text in texts], device=model.device)
        count, width = ids.shape
        queries = len(blocks.embeds)
        place = torch.arange(width, device=model.device)
        real = place < lengths[:, None]
        # A text sees what came before in itself; a block sees the whole text and its own past.
        text_rows = torch.cat(
            [
                (place[:, None] >= place).expand(count, -1, -1),
                torch.zeros(count, width, queries, dtype=torch.bool, device=model.device),
            ],
            dim=-1,
        )
        block_rows = torch.cat(
            [real[:, None, :].expand(-1, queries, -1), blocks.visible.expand(count, -1, -1)],
            dim=-1,
        )
        model.keep_logits_of(self._readout.kept)
        logits = model.logits(
            torch.cat([model.embed(ids), blocks.embeds.expand(count, -1, -1)], dim=1),
            self._additive(torch.cat([text_rows, block_rows], dim=1)),
            torch.cat([place.expand(count, -1), lengths[:, None] + blocks.offset], dim=1),
            keep=width + blocks.keep,
        )
        return self._readout(logits.unflatten(1, (len(prompts), -1))).transpose(0, 1)

    def _additive(self, visible: Tensor) -> Tensor:
        """[B, Q, T] bool to [B, 1, Q, T] to add to attention scores, which every implementation
        of attention understands."""
        dtype = self.model.dtype
        mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
        return mask.masked_fill_(~visible, torch.finfo(dtype).min)[:, None]

    def _shares_prefix(self, prompts: Sequence[Tensor], texts: Sequence[TokenIds]) -> bool:
        """Whether texts may stand behind these prefixes' own states: none of them is trained."""
        fixed = all(len(prompt) and not prompt.requires_grad for prompt in prompts)
        return fixed and not self.task.branches and self.reuses_text(texts)

    def _behind_prefix(self, prompt: Tensor, texts: Sequence[TokenIds]) -> Tensor:
        """[B, L]: texts behind a prefix that is not being trained, whose own keys and values are
        computed once and shared by all of them."""
        model = self.model
        count, width = len(texts), len(prompt)
        model.keep_logits_of(self._readout.kept)
        ones = torch.ones(1, width, dtype=torch.long, device=model.device)
        if self._prefix is None or self._prefix[0] is not prompt:
            states = DynamicCache()
            here = torch.arange(width, device=model.device)[None]
            embeds = prompt[None].to(model.dtype)
            model.logits(embeds, ones, here, here[:, -1:], past_key_values=states)
            self._prefix = (prompt, states)
        past = DynamicCache(
            [
                (layer.keys.expand(count, -1, -1, -1), layer.values.expand(count, -1, -1, -1))
                for layer in self._prefix[1].layers
            ]
        )
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
        return self._readout(logits)

    def _plain(self, prompt: Tensor, position: Position, texts: Sequence[TokenIds]) -> Tensor:
        """[B, L]: the whole input of each text in one pass, padded on the right; a pass more for
        each further word of several tokens."""
        task = self.task
        found = []
        for number, branch in enumerate(task.branches or ((),)):
            read = self._plain_pass(prompt, position, texts, branch)
            # The template's end is read in every pass, and wanted once.
            found.append(read if number == 0 else read[:, 1:])
        return self._readout(torch.cat(found, dim=1))

    def _plain_pass(
        self, prompt: Tensor, position: Position, texts: Sequence[TokenIds], branch: TokenIds
    ) -> Tensor:
        """[B, 1 + branch, kept tokens]: logits at the template's end and at each branch token."""
        model = self.model
        after = model.embed((*self.task.tail_ids, *branch))
        prompt = prompt.to(after)
        rows = []
        for text in texts:
            body = model.embed(text)
            parts = [body, prompt, after] if position == "suffix" else [prompt, body, after]
            rows.append(torch.cat(parts))
        lengths = torch.tensor([len(row) for row in rows], device=model.device)
        embeds = pad_sequence(rows, batch_first=True)
        positions = torch.arange(embeds.shape[1], device=model.device)
        model.keep_logits_of(self._readout.kept)
        return model.logits(
            embeds,
            (positions < lengths[:, None]).long(),
            positions.expand(len(rows), -1),
            keep=lengths[:, None] - 1 - torch.arange(len(branch), -1, -1, device=model.device),
        )


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
    longest_branch = max(map(len, task.branches), default=0)
    return max(context - longest_prompt - len(task.tail_ids) - longest_branch, 0)
