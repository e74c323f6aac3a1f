"""Label words proposed by the model: what is computed from one pass is what asking would give."""

import itertools

import pytest
import torch

from autoprompt.search_spaces.errors import BadInputError
from autoprompt.search_spaces.wording_space import Proposals
from autoprompt.workers.label_search import Asked, asked, proposed
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer
from tests.tiny import TEXTS

ROWS = [row["text"] for row in TEXTS[::3]]
LABELS = [int(row["label"] == "positive") for row in TEXTS[::3]]


def test_words_are_as_likely_as_when_each_is_asked_for(tiny_scorer: Scorer) -> None:
    said = asked(tiny_scorer, ROWS, LABELS)
    assert len(said.words) == len(set(said.words)) > 10
    assert tiny_scorer.family.readout.branches.tokens == ()
    pair = said.words[:2]
    own = tiny_scorer.reworded(
        tiny_scorer.wording.reworded(None, {"negative": pair[:1], "positive": pair[1:]})
    )
    expected = own.log_probs([Prompt("")], own.tokenize(ROWS))[0]
    found = torch.log_softmax(said.log_probs[:, :2], dim=-1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_the_best_pair_is_the_best_of_all_pairs(tiny_scorer: Scorer) -> None:
    said = asked(tiny_scorer, ROWS, LABELS)
    spec = Proposals(propose=4, candidates=len(said.words), words=1)
    found = proposed(said, ("negative", "positive"), spec)
    labels = torch.tensor(LABELS)

    def loss(one: str, other: str) -> float:
        places = [said.words.index(one), said.words.index(other)]
        plain = torch.log_softmax(said.log_probs[:, places], dim=-1)
        calibrated = torch.log_softmax(plain - plain.exp().mean(0).log(), dim=-1)
        return min(
            float(torch.nn.functional.nll_loss(log_probs, labels))
            for log_probs in (plain, calibrated)
        )

    least = min(loss(one, other) for one, other in itertools.permutations(said.words, 2))
    best = found[0]
    assert loss(best["negative"][0], best["positive"][0]) == pytest.approx(least, abs=1e-6)
    assert len({str(words) for words in found}) == len(found) == 4


def test_further_words_lower_the_loss_and_stay_distinct() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (90,), generator=generator)
    signal = torch.nn.functional.one_hot(labels, 3).float().repeat(1, 4)
    scores = torch.log_softmax(torch.randn(90, 12, generator=generator) + 1.5 * signal, dim=-1)
    said = Asked(tuple(f"w{n}" for n in range(12)), scores, labels)
    [best, *_] = proposed(said, ("a", "b", "c"), Proposals(propose=2, candidates=12, words=3))
    words = [word for own in best.values() for word in own]
    assert len(words) == len(set(words)) > 3
    for label, own in zip("abc", best.values(), strict=True):
        assert {int(word[1:]) % 3 for word in own} == {"abc".index(label)}


def test_a_template_that_no_word_can_follow_is_refused(tiny_scorer: Scorer) -> None:
    from unittest import mock

    with (
        mock.patch("autoprompt.workers.label_search.words_known", return_value={}),
        pytest.raises(BadInputError, match="name label words in the place of propose"),
    ):
        asked(tiny_scorer, ROWS, LABELS)
