"""Given answers: how probable each of their tokens is, the same numbers as a plain forward pass."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from autoprompt.search_spaces.errors import BadInputError, ModelError
from autoprompt.search_spaces.pieces import Position
from autoprompt.workers import output_layer
from autoprompt.workers.decoding import continuation_log_probs
from autoprompt.workers.families.causal import CausalFamily
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Asked, Scorer
from autoprompt.workers.text_states import TokenIds
from tests.workers.continued import CAUSAL, SEQ2SEQ, Reference, prompts_at, texts_of

#: Answers of five texts, of different lengths, one of them empty.
ANSWERS: list[TokenIds] = [(20, 21, 22), (30,), (), (40, 41, 42, 43, 44), (50, 0)]

PLACES = [
    *((name, position) for name in ("merged", "copied", "alone") for position in CAUSAL),
    *(("t5", position) for position in SEQ2SEQ),
]


def expected(scorer: Scorer, prompts: list[Prompt], texts: list[TokenIds]) -> Tensor:
    """[N, B, T], text by text."""
    found = torch.zeros(len(prompts), len(texts), max(map(len, ANSWERS)))
    for n, prompt in enumerate(prompts):
        for b, (text, answer) in enumerate(zip(texts, ANSWERS, strict=True)):
            log_probs = Reference(scorer, prompt).log_probs(text, answer)
            for at, token in enumerate(answer):
                found[n, b, at] = log_probs[at, token]
    return found


@torch.no_grad()
@pytest.mark.parametrize(("name", "position"), PLACES)
def test_forced_log_probs_are_those_of_a_plain_pass(
    name: str, position: Position, scorers: Callable[[str], Scorer]
) -> None:
    scorer = scorers(name)
    prompts, texts = prompts_at(position, scorer), texts_of(scorer)
    if name == "alone":  # it may go over no cached text, behind which a KV prompt would stand
        prompts = [prompt for prompt in prompts if prompt.kind != "kv" or position == "prefix"]
    wanted = expected(scorer, prompts, texts)
    laid = [prompt.embedded(scorer.model) for prompt in prompts]
    scorer.family.trusts_cache(texts)
    scorer.cache.forget()
    found = scorer.forced_log_probs(laid, texts, ANSWERS)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    once = scorer.found(Asked(laid, texts, ANSWERS), once=True)
    torch.testing.assert_close(once, wanted, atol=1e-5, rtol=1e-5)
    sums = continuation_log_probs(scorer, prompts, texts, ANSWERS)
    torch.testing.assert_close(sums, wanted.sum(-1), atol=1e-4, rtol=1e-5)
    reuses = position in scorer.family.reusable and name != "alone"
    assert bool(scorer.cache.bytes) == reuses


@pytest.mark.parametrize(("name", "position"), PLACES)
def test_gradients_are_those_of_a_plain_pass(
    name: str,
    position: Position,
    scorers: Callable[[str], Scorer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A few logits at a time, as with a large vocabulary.
    monkeypatch.setattr(output_layer, "_LOGITS_AT_ONCE", 1 << 10)
    scorer = scorers(name)
    prompt, texts = prompts_at(position, scorer)[1], texts_of(scorer)
    assert prompt.vectors is not None
    vectors = prompt.vectors.clone().requires_grad_()
    found = scorer.forced_log_probs([prompt.embedded(scorer.model, vectors)], texts, ANSWERS)
    [gradient] = torch.autograd.grad(found.sum(), vectors)
    losses = []
    for text, answer in zip(texts, ANSWERS, strict=True):
        laid = prompt.embedded(scorer.model, vectors)
        log_probs = Reference(scorer, prompt).log_probs(text, answer, laid)
        losses += [log_probs[at, token] for at, token in enumerate(answer)]
    [wanted] = torch.autograd.grad(torch.stack(losses).sum(), vectors)
    assert wanted.abs().max() > 1e-2
    largest = float(wanted.abs().max())
    torch.testing.assert_close(gradient, wanted, atol=1e-5 * largest, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", ["merged", "copied", "t5"])
def test_prompts_on_batches_of_their_own_share_a_pass(
    name: str, scorers: Callable[[str], Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = scorers(name)
    position = scorer.family.reusable[0]
    laid = [prompt.embedded(scorer.model) for prompt in prompts_at(position, scorer)]
    texts = texts_of(scorer)
    asked = [
        Asked(laid[:2], texts[:3], ANSWERS[:3]),
        Asked(laid[2:], texts[2:], ANSWERS[2:]),
        Asked(laid[1:2], texts[:1], [(9,)]),
    ]
    alone = [scorer.found(one) for one in asked]
    passes = []
    ask = scorer.model.model.forward
    monkeypatch.setattr(
        scorer.model.model, "forward", lambda **given: passes.append(given) or ask(**given)
    )
    together = scorer.logits_of(asked)
    decoder = sum(len(one.prompts) for one in asked)
    assert len(passes) == {"merged": 1, "copied": len(asked), "t5": decoder}[name]
    for found, wanted in zip(together, alone, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", ["merged", "copied", "t5"])
def test_options_of_a_text_are_scored_over_the_text_read_once(
    name: str, scorers: Callable[[str], Scorer]
) -> None:
    scorer = scorers(name)
    prompts = prompts_at(scorer.family.reusable[0], scorer)
    texts = texts_of(scorer, 2)
    scorer.family.trusts_cache(texts)
    scorer.cache.forget()
    encoded = scorer.cache.encoded
    repeated = [text for text in texts for _ in ANSWERS]
    found = continuation_log_probs(scorer, prompts, repeated, ANSWERS * 2)
    assert scorer.cache.encoded == encoded + len(texts)
    other = prompts_at("prefix", scorer)[0]  # which goes over no cached text
    once = continuation_log_probs(scorer, prompts, repeated, ANSWERS * 2, once=True)
    plain = continuation_log_probs(scorer, [other], repeated, ANSWERS * 2)
    laid = [prompt.embedded(scorer.model) for prompt in (*prompts, other)]
    for place, (text, answer) in enumerate(zip(repeated, ANSWERS * 2, strict=True)):
        alone = scorer.forced_log_probs(laid[:-1], [text], [answer]).sum(-1)[:, 0]
        torch.testing.assert_close(found[:, place], alone, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(once[:, place], alone, atol=1e-4, rtol=1e-5)
        alone = scorer.forced_log_probs(laid[-1:], [text], [answer]).sum(-1)[:, 0]
        torch.testing.assert_close(plain[:, place], alone, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_the_cache_is_not_tried_by_what_follows_some_texts(
    scorers: Callable[[str], Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = scorers("merged")
    tried: list[object] = []
    # As where memory does not hold a single text.
    monkeypatch.setattr(CausalFamily, "_try_cache", lambda self, _: tried.append(self))
    prompts, texts = prompts_at("suffix", scorer)[:2], texts_of(scorer)
    laid = [prompt.embedded(scorer.model) for prompt in prompts]
    found = scorer.forced_log_probs(laid, texts, ANSWERS)
    assert tried == [scorer.family]
    torch.testing.assert_close(found, expected(scorer, prompts, texts), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_model_that_caps_its_logits_is_asked_for_all_of_them(
    scorers: Callable[[str], Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = scorers("copied")
    forward = scorer.model.model.forward

    def capped(**given: Tensor) -> Tensor:
        output = forward(**given)
        output.logits = torch.tanh(output.logits)
        return output

    monkeypatch.setattr(scorer.model.model, "forward", capped)
    scorer.model.__dict__.pop("_ends_in_readout", None)
    prompts, texts = prompts_at("suffix", scorer)[:2], texts_of(scorer)
    laid = [prompt.embedded(scorer.model) for prompt in prompts]
    found = scorer.forced_log_probs(laid, texts, ANSWERS)
    assert not scorer.model._ends_in_readout
    del scorer.model.__dict__["_ends_in_readout"]
    torch.testing.assert_close(found, expected(scorer, prompts, texts), atol=1e-5, rtol=1e-5)


def test_what_the_context_does_not_hold_is_refused(scorers: Callable[[str], Scorer]) -> None:
    scorer = scorers("merged")
    with pytest.raises(BadInputError, match=r"takes 7. tokens, and this model sees 64 at once"):
        continuation_log_probs(scorer, [Prompt("", (1, 2))], texts_of(scorer, 1), [(5,) * 60])


def test_a_masked_model_is_refused_by_name(scorers: Callable[[str], Scorer]) -> None:
    scorer = scorers("bert")
    with pytest.raises(ModelError, match=r"bert.*a masked model fills a mask with one token"):
        continuation_log_probs(scorer, [Prompt("")], texts_of(scorer, 1), [(5, 6)])
