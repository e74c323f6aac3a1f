"""Words between pieces belong to the prompt, and it scores as the whole question does."""

from dataclasses import replace

import pytest
import torch

from autoprompt.search_spaces import HardPlan, MixedPlan, SoftPlan
from autoprompt.search_spaces.pieces import Pieces
from autoprompt.workers.prompt import VIRTUAL, Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners.arrangement import Arrangement
from autoprompt.workers.tuners.inits import start_tokens
from tests.tiny import TEXTS


def hard(template: str, tokens: int) -> HardPlan:
    return HardPlan(
        seed=0, start="in short", candidates=2, rounds=1, tokens=tokens, template=template
    )


@pytest.mark.parametrize(
    "template",
    [
        "{text} the {hard} is {hard}:",
        "{hard} the {text} is:",
        "{hard} {text} is {hard}:",
        "{text} the plot is{hard}",
    ],
)
def test_a_question_in_pieces_is_the_question_in_one(template: str, tiny_scorer: Scorer) -> None:
    rest = Pieces.of(template, "hard", "suffix").template
    scorer = tiny_scorer.reworded(tiny_scorer.wording.reworded(rest, None))
    arranged = Arrangement(hard(template, 4), scorer)
    tokens = start_tokens("in short", 4, arranged, scorer, torch.Generator().manual_seed(0))
    prompt = replace(arranged.prompt(tokens), wording=scorer.wording)
    question = prompt.question(scorer.model.tokenizer)
    assert question is not None
    whole = tiny_scorer.reworded(tiny_scorer.wording.reworded(question, None))
    texts = [row["text"] for row in TEXTS[:6]]
    torch.testing.assert_close(
        scorer.log_probs([prompt], scorer.tokenize(texts)),
        whole.log_probs([Prompt("")], whole.tokenize(texts)),
        atol=1e-5, rtol=0,
    )  # fmt: skip


def test_vectors_among_words(tiny_scorer: Scorer) -> None:
    scorer = tiny_scorer.reworded(tiny_scorer.wording.reworded("{text}:", None))
    plan = SoftPlan(
        seed=0, length=3, init="vocabulary", learning_rate=0.1, steps=1, batch_size=2,
        position="end", template="{text} the {soft} is {soft}:",
    )  # fmt: skip
    arranged = Arrangement(plan, scorer)
    vectors = torch.randn(3, scorer.model.hidden_size)
    prompt = arranged.prompt((), vectors)
    tokenizer = scorer.model.tokenizer
    words = [
        tuple(tokenizer(part, add_special_tokens=False).input_ids) for part in (" the ", " is ")
    ]
    assert prompt.token_ids == (*words[0], VIRTUAL, VIRTUAL, *words[1], VIRTUAL)
    assert prompt.position == "suffix"
    trained = vectors.clone().requires_grad_()
    laid = arranged.laid(None, trained)
    torch.testing.assert_close(laid.back, prompt.embedded(scorer.model).back)
    laid.back.sum().backward()
    torch.testing.assert_close(trained.grad, torch.ones_like(vectors))


def test_a_layout_puts_tokens_and_vectors_where_it_says(tiny_scorer: Scorer) -> None:
    plan = MixedPlan(
        seed=0, length=2, init="vocabulary", learning_rate=0.1, steps=1, batch_size=2,
        layout="{soft}{text}{hard}", tokens=2, start="in short", candidates=2, swap_every=1,
    )  # fmt: skip
    arranged = Arrangement(plan, tiny_scorer)
    prompt = arranged.prompt((5, 6), torch.zeros(2, tiny_scorer.model.hidden_size))
    assert (prompt.token_ids, prompt.front) == ((VIRTUAL, VIRTUAL, 5, 6), 2)


def test_a_prompt_may_be_of_no_tokens(tiny_scorer: Scorer) -> None:
    arranged = Arrangement(HardPlan(seed=0, searcher="none"), tiny_scorer)
    prompt = arranged.prompt(())
    texts = tiny_scorer.tokenize([row["text"] for row in TEXTS[:4]])
    assert torch.equal(
        tiny_scorer.log_probs([prompt], texts), tiny_scorer.log_probs([Prompt("")], texts)
    )
