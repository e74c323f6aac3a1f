"""What tests of answers of several tokens share: tiny models of both families, prompts of every
kind at every position, and each answer read by transformers' own call, one text at a time."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache

from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.prompt import VIRTUAL, Laid, Prompt, kv_prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_states import TokenIds
from tests.tiny import TEXTS
from tests.workers.test_kv import by_hand

CAUSAL: tuple[Position, ...] = ("suffix", "end", "prefix", "both")
SEQ2SEQ: tuple[Position, ...] = (*CAUSAL, "decoder")


def texts_of(scorer: Scorer, count: int = 5) -> list[TokenIds]:
    return scorer.tokenize([row["text"] for row in TEXTS[: 3 * count : 3]])


def prompts_at(position: Position, scorer: Scorer) -> list[Prompt]:
    """A hard, a soft and a mixed prompt of different lengths, another hard one that is laid beside
    the first, and a KV prompt where one may stand."""
    vectors = torch.linspace(-1, 1, 4 * 32).reshape(4, 32)
    front = 2 if position == "both" else 0
    prompts = [
        Prompt("", (15, 16, 17), position=position, front=front),
        Prompt("", vectors=vectors, position=position, front=front),
        Prompt("", (15, VIRTUAL, 17, VIRTUAL, 18), vectors[1:3], position, front),
        Prompt("", (21, 22, 23), position=position, front=front),
    ]
    kv = ("decoder",) if scorer.model.family == "seq2seq" else ("suffix", "end", "prefix")
    if position in kv:
        generator = torch.Generator().manual_seed(3)
        groups = 2 if scorer.model.family == "causal" else 4
        prompts.append(kv_prompt(torch.randn(3, 2, 2, groups, 8, generator=generator), position))
    return prompts


@dataclass(frozen=True)
class Reference:
    """One text beside one prompt: transformers' own call on the whole input."""

    scorer: Scorer
    prompt: Prompt

    def log_probs(self, text: TokenIds, answer: TokenIds, laid: Laid | None = None) -> Tensor:
        """[answer's tokens + 1, V], behind the question and each of the answer's tokens."""
        self.scorer.model.keep_logits_of(None)
        own = self.prompt.embedded(self.scorer.model) if laid is None else laid
        ask = self._decoder if self.scorer.model.family == "seq2seq" else self._causal
        return torch.log_softmax(ask(own, text, answer), dim=-1)

    def greedy(self, text: TokenIds, most: int, ends: frozenset[int] = frozenset()) -> TokenIds:
        """By the definition: the likeliest token, over and over."""
        answer: TokenIds = ()
        while len(answer) < most:
            token = int(self.log_probs(text, answer)[-1].argmax())
            if token in ends:
                break
            answer = (*answer, token)
        return answer

    def _causal(self, laid: Laid, text: TokenIds, answer: TokenIds) -> Tensor:
        model, tail = self.scorer.model, self.scorer.task.question.tail_ids
        if len(laid.rows):
            before, after, at = {
                "end": ((*text, *tail[:-1]), tail[-1:], len(tail) - 1),
                "suffix": (text, tail, 0),
                "prefix": ((), (*text, *tail), 0),
            }[self.prompt.position]
            ends = [(*after, *answer[:count]) for count in range(len(answer) + 1)]
            return torch.stack([by_hand(model, laid.rows, before, own, at) for own in ends])
        bare: Any = model.model
        inputs = [*self.inputs(laid, text), model.embed(answer)]
        return bare(inputs_embeds=torch.cat(inputs)[None]).logits[0, -len(answer) - 1 :]

    def inputs(self, laid: Laid, text: TokenIds) -> list[Tensor]:
        """The whole input, or the encoder's."""
        embed, question = self.scorer.model.embed, self.scorer.task.question
        between = [laid.back, embed(question.tail_ids), laid.end, embed(question.end_ids)]
        return [part for part in (laid.front, embed(text), *between) if len(part)]

    def _decoder(self, laid: Laid, text: TokenIds, answer: TokenIds) -> Tensor:
        model, question = self.scorer.model, self.scorer.task.question
        bare: Any = model.model
        more: dict[str, Any] = {}
        if len(laid.rows):
            past = EncoderDecoderCache(DynamicCache(), DynamicCache())
            for layer, (keys, values) in enumerate(laid.rows.permute(1, 2, 3, 0, 4)):
                past.self_attention_cache.update(keys[None], values[None], layer)
            more = {"past_key_values": past, "use_cache": True}
        start = model.embed([bare.config.decoder_start_token_id, *question.answer_ids])
        decoder = [part for part in (start, laid.decoder, model.embed(answer)) if len(part)]
        return bare(
            inputs_embeds=torch.cat(self.inputs(laid, text))[None],
            decoder_inputs_embeds=torch.cat(decoder)[None],
            **more,
        ).logits[0, -len(answer) - 1 :]
