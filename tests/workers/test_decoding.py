"""Answers that a model writes: the same tokens as transformers' own `generate` on whole inputs."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from autoprompt.search_spaces.errors import BadInputError, ModelError
from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.data import Split
from autoprompt.workers.decoding import decoded, greedy, text_of
from autoprompt.workers.families.generation import Generation
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.model_config import end_tokens
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import build_task
from autoprompt.workers.text_states import TokenIds
from tests.conftest import DEMO_TASK
from tests.workers.continued import CAUSAL, SEQ2SEQ, Reference, prompts_at, texts_of

MOST = 7

PLACES = [
    *((name, position) for name in ("merged", "copied", "alone") for position in CAUSAL),
    *((name, position) for name in ("t5", "bart") for position in SEQ2SEQ),
]


def generated(scorer: Scorer, prompt: Prompt, text: TokenIds, **more: Any) -> TokenIds:
    """What `generate` writes behind a whole input, up to the token that ends it."""
    model, laid = scorer.model, prompt.embedded(scorer.model)
    inputs = torch.cat(Reference(scorer, prompt).inputs(laid, text))[None]
    model.keep_logits_of(None)
    if model.family == "seq2seq":
        bare: Any = model.model
        start = [bare.config.decoder_start_token_id, *scorer.task.question.answer_ids]
        ids = [start + list(prompt.token_ids if prompt.position == "decoder" else ())]
        more["decoder_input_ids"] = torch.tensor(ids)
    written = model.model.generate(
        inputs_embeds=inputs,
        attention_mask=torch.ones(inputs.shape[:2], dtype=torch.long),
        max_new_tokens=MOST,
        do_sample=False,
        num_beams=1,
        **more,
    )[0].tolist()
    answer = written[len(ids[0]) if model.family == "seq2seq" else 0 :]
    ends = end_tokens(model.model, model.tokenizer)
    return tuple(itertools.takewhile(lambda token: token not in ends, answer))


@torch.no_grad()
@pytest.mark.parametrize(("name", "position"), PLACES)
def test_the_tokens_are_those_of_generate(
    name: str, position: Position, scorers: Callable[[str], Scorer]
) -> None:
    scorer = scorers(name)
    prompts, texts = [*prompts_at(position, scorer), Prompt("")], texts_of(scorer)
    if name == "alone":  # it may go over no cached text, behind which a KV prompt would stand
        prompts = [prompt for prompt in prompts if prompt.kind != "kv" or position == "prefix"]
    ends = end_tokens(scorer.model.model, scorer.model.tokenizer)
    found = decoded(scorer, prompts, texts, (), MOST)
    assert len({answer for answers in found for answer in answers}) > len(texts) / 2
    for prompt, answers in zip(prompts, found, strict=True):
        for text, answer in zip(texts, answers, strict=True):
            # Rows, and vectors in a decoder, are nothing that `generate` takes.
            taken = prompt.kind != "kv" and (prompt.kind == "hard" or position != "decoder")
            reference = Reference(scorer, prompt)
            wanted = (
                generated(scorer, prompt, text) if taken else reference.greedy(text, MOST, ends)
            )
            assert answer == wanted


@torch.no_grad()
@pytest.mark.parametrize("name", ["merged", "copied", "alone", "t5"])
def test_an_answer_ends_by_itself_and_leaves_its_neighbours_alone(
    name: str, scorers: Callable[[str], Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = scorers(name)
    for position in ("suffix", "prefix"):
        prompts, texts = prompts_at(position, scorer)[:2], texts_of(scorer, 7)
        whole = decoded(scorer, prompts, texts, (), MOST)
        # Tokens at which some of the answers end early, others later, and some never.
        ends = frozenset((whole[0][0][0], whole[0][1][2], whole[1][3][4]))
        monkeypatch.setattr(scorer.model.model.generation_config, "eos_token_id", sorted(ends))
        found = decoded(scorer, prompts, texts, (), MOST)
        for answers, full in zip(found, whole, strict=True):
            for answer, longest in zip(answers, full, strict=True):
                cut = [at for at, token in enumerate(longest) if token in ends]
                assert answer == longest[: min(cut, default=MOST)]
        lengths = {len(answer) for answers in found for answer in answers}
        assert len(lengths) > 2
        alone = decoded(scorer, prompts[1:], texts[3:4], (), MOST)
        assert alone == [[found[1][3]]]
        monkeypatch.undo()


@torch.no_grad()
@pytest.mark.parametrize("position", ["suffix", "prefix", "decoder"])
@pytest.mark.parametrize("name", ["merged", "copied", "alone", "t5", "bart"])
def test_texts_leave_and_the_others_go_on(
    name: str, position: Position, scorers: Callable[[str], Scorer]
) -> None:
    scorer = scorers(name)
    if position not in scorer.family.positions:
        return
    prompts, texts = prompts_at(position, scorer)[1:3], texts_of(scorer)
    whole = torch.tensor(decoded(scorer, prompts, texts, (), 6))
    laid = [prompt.embedded(scorer.model) for prompt in prompts]
    numbers = iter(range(len(prompts)))
    for generation in scorer.family.generations(laid, texts):
        own = whole[[next(numbers) for _ in range(generation.first.shape[1])]]
        there = torch.arange(len(texts))
        tokens = generation.first
        for step, leaves in enumerate([False, True, False, True, False, False]):
            assert tokens.tolist() == own[:, there, step].T.tolist()
            if leaves:
                kept = torch.arange(1, len(there), 2)
                generation.only(kept)
                tokens, there = tokens[kept], there[kept]
            tokens = generation.after(tokens)
    assert len({tuple(answer) for answers in whole.tolist() for answer in answers}) > 2


@torch.no_grad()
@pytest.mark.parametrize("name", ["merged", "copied"])
def test_texts_that_share_a_long_head(name: str, scorers: Callable[[str], Scorer]) -> None:
    scorer = scorers(f"{name}, long head")
    prompts, texts = prompts_at("suffix", scorer)[:3], texts_of(scorer, 3)
    assert scorer.task.question.shared_head(texts)
    found = decoded(scorer, prompts, texts, (), MOST)
    for prompt, answers in zip(prompts, found, strict=True):
        assert answers == [generated(scorer, prompt, text) for text in texts]


@torch.no_grad()
def test_no_token_is_read_twice(
    scorers: Callable[[str], Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    for name, inputs in (("merged", "inputs_embeds"), ("t5", "decoder_inputs_embeds")):
        scorer = scorers(name)
        prompts, texts = prompts_at(scorer.family.reusable[0], scorer)[:1], texts_of(scorer)
        decoded(scorer, prompts, texts, (), 1)
        forward = scorer.model.model.forward

        def counted(forward: Any = forward, inputs: str = inputs, **given: Any) -> Any:
            read.append(given[inputs].shape[0] * given[inputs].shape[1])
            return forward(**given)

        monkeypatch.setattr(scorer.model.model, "forward", counted)
        decoded(scorer, prompts, texts, (), MOST)
        monkeypatch.undo()
        first, *others = read
        assert first == len(texts) * scorer.family.queries(prompts[0].embedded(scorer.model), texts)
        assert others == [len(texts)] * (MOST - 1)
        read.clear()


@torch.no_grad()
@pytest.mark.parametrize("name", ["merged", "t5"])
def test_a_stop_string_ends_an_answer(name: str, scorers: Callable[[str], Scorer]) -> None:
    scorer = scorers(name)
    tokenizer = scorer.model.tokenizer
    prompts, texts = prompts_at("suffix", scorer)[:1], texts_of(scorer)
    [whole] = decoded(scorer, prompts, texts, (), MOST)
    written = [
        tokenizer.decode(whole[0][:count], skip_special_tokens=True) for count in range(MOST + 1)
    ]
    # It begins in one token and ends in the next.
    stop, count = next(
        (written[n][len(written[n - 1]) - 1 :], n)
        for n in range(2, MOST)
        if written[n] and written[n][len(written[n - 1]) - 1 :] not in written[n - 1]
    )
    [found] = decoded(scorer, prompts, texts, ("no such", stop), MOST)
    assert len(stop) > 1
    assert found[0] == whole[0][:count]
    assert text_of(found[0], (stop,), tokenizer) == written[count][: -len(stop)]
    for answer, longest in zip(found, whole, strict=True):
        assert answer == longest[: len(answer)]
        assert len(answer) == MOST or stop in tokenizer.decode(answer, skip_special_tokens=True)


@torch.no_grad()
@pytest.mark.parametrize("name", ["merged", "copied", "t5"])
def test_a_limit_cuts_an_answer(name: str, scorers: Callable[[str], Scorer]) -> None:
    scorer = scorers(name)
    prompts, texts = prompts_at("suffix", scorer)[:2], texts_of(scorer)
    longer = decoded(scorer, prompts, texts, (), MOST)
    for most in (1, 3):
        wanted = [[answer[:most] for answer in answers] for answers in longer]
        assert decoded(scorer, prompts, texts, (), most) == wanted
    assert decoded(scorer, prompts, [], (), 3) == [[], []]


class _Recited(Generation):
    """Answers that are known before; it keeps how many texts each pass went over."""

    def __init__(self, answers: Sequence[TokenIds]) -> None:
        self._left = [list(answer) for answer in answers]
        self.passes = [len(answers)]
        self.first = self._next()

    def _next(self) -> Tensor:
        return torch.tensor([[answer.pop(0) if answer else 0] for answer in self._left])

    def after(self, tokens: Tensor) -> Tensor:
        self.passes.append(len(self._left))
        assert len(tokens) == len(self._left)
        return self._next()

    def only(self, texts: Tensor) -> None:
        self._left = [self._left[place] for place in texts.tolist()]


def test_texts_leave_when_half_of_them_are_written() -> None:
    answers = [(1,), (1, 2, 3, 4), (1,), (1, 2), (1, 2, 3, 4, 5, 6)]
    recited = _Recited(answers)
    [found] = greedy(recited, {0}, (), 5, None)
    assert found == [answer[:5] for answer in answers]
    assert recited.passes == [5, 5, 5, 2, 2]


def test_what_cannot_be_written_is_refused(scorers: Callable[[str], Scorer]) -> None:
    scorer = scorers("merged")
    with pytest.raises(BadInputError, match=r"takes 7. tokens, and this model sees 64 at once"):
        decoded(scorer, [Prompt("", (1, 2))], texts_of(scorer, 1), (), 60)
    with pytest.raises(ModelError, match=r"bert.*a masked model fills a mask with one token"):
        decoded(scorers("bert"), [Prompt("")], texts_of(scorers("bert"), 1), (), 4)


@torch.no_grad()
def test_the_real_model_writes_what_generate_does(real_model: FrozenModel, movies: Split) -> None:
    task = build_task(DEMO_TASK, real_model.tokenizer)
    scorer = Scorer(real_model, task, longest_prompt=24)
    ids = real_model.tokenizer(" In one word, it was", add_special_tokens=False).input_ids
    prompts = [
        Prompt("", tuple(ids)),
        Prompt("", vectors=real_model.embed(ids[1:]).float() + 0.01, position="end"),
    ]
    texts = scorer.tokenize(movies.texts[:3])
    found = decoded(scorer, prompts, texts, (), MOST)
    assert scorer.family.trusts_cache(texts)
    for prompt, answers in zip(prompts, found, strict=True):
        for text, answer in zip(texts, answers, strict=True):
            assert answer == generated(scorer, prompt, text)
