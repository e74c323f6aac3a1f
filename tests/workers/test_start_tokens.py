"""Hard prompts start from tokens that read back, so that none is reported that does not."""

from typing import get_args

import pytest
import torch

from autoprompt.search_spaces import HardPlan, MixedPlan
from autoprompt.search_spaces.errors import AutopromptError
from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.question import Question
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.template import Template
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners import Examples, tune
from autoprompt.workers.tuners.arrangement import Arrangement
from autoprompt.workers.tuners.inits import asking_words, phrase_tokens, start_tokens
from tests.workers import test_pack, test_tuners

POSITIONS = [position for position in get_args(Position) if position != "decoder"]

#: At a seam "in short" is read as "shortin"; a cut goes through the letter.
SEAM, CUT = "in short", "\u00dcberraschung"


def started(
    scorer: Scorer, phrase: str, length: int, position: Position, seed: int = 1
) -> TokenIds:
    plan = test_tuners.HARD.model_copy(update={"position": position, "tokens": length})
    generator = torch.Generator().manual_seed(seed)
    return start_tokens(phrase, length, Arrangement(plan, scorer), scorer, generator)


def read_back(scorer: Scorer, tokens: TokenIds, position: Position) -> bool:
    plan = test_tuners.HARD.model_copy(update={"position": position, "tokens": len(tokens)})
    return Arrangement(plan, scorer).reads_back([tokens]) == [True]


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("phrase", [SEAM, CUT, "Answer:\n\n"])
def test_a_start_reads_back_at_every_length(
    phrase: str, position: Position, tiny_scorer: Scorer
) -> None:
    for length in (1, 2, 3, 5, 8):
        tokens = started(tiny_scorer, phrase, length, position)
        assert len(tokens) == length
        assert read_back(tiny_scorer, tokens, position)


def test_a_phrase_that_reads_back_is_left_as_it_is(tiny_scorer: Scorer) -> None:
    ids = phrase_tokens(" in short", 5, tiny_scorer.model)
    assert started(tiny_scorer, SEAM, 5, "suffix") == tuple(ids)


def test_a_seam_is_mended_by_a_space(tiny_scorer: Scorer) -> None:
    mended = started(tiny_scorer, SEAM, 5, "prefix")
    assert tiny_scorer.model.tokenizer.decode(mended) == "in short in short"


def test_a_replacement_follows_from_the_seed(tiny_scorer: Scorer) -> None:
    mended = [started(tiny_scorer, CUT, 2, "suffix", seed) for seed in (1, 1, 2)]
    assert mended[0] == mended[1] != mended[2]


def test_where_nothing_reads_back_the_trial_says_so(
    tiny_scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Arrangement, "reads_back", lambda self, found: [False] * len(found))
    with pytest.raises(
        AutopromptError, match="reads back at suffix; give the hard prompt another start"
    ):
        started(tiny_scorer, SEAM, 2, "suffix")


@pytest.mark.parametrize(
    "plan",
    [
        test_tuners.HARD.model_copy(
            update={"position": "prefix", "tokens": 5, "start": SEAM}
        ).model_copy(update={"rounds": 1, "candidates": 1}),
        test_pack.MIXED.model_copy(update={"layout": "{hard}{text}{soft}", "tokens": 5}).model_copy(
            update={"steps": 2, "swap_every": 4}
        ),
    ],
    ids=["hard", "mixed"],
)
def test_a_prompt_reported_before_any_swap_reads_back(
    plan: HardPlan | MixedPlan, tiny_scorer: Scorer, examples: Examples
) -> None:
    (report,) = tune(plan, tiny_scorer, examples, (1.0,))
    tokens = report.prompt.token_ids[: plan.tokens]
    assert read_back(tiny_scorer, tokens, "prefix")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("Review: {text}\n\nSentiment:", "Sentiment:"),
        ("Is it good? {text}\n", "Is it good?"),
        ("{text}: {other}:", "The answer is"),
        ("First: {text}. Second: {other}.", "First: . Second:"),
        ("{text} It was <mask>.", "It was ."),
    ],
)
def test_a_templates_own_words(template: str, words: str) -> None:
    parsed = Template.parse(template)
    question = Question(parsed, None, (), "", "", token="<mask>")
    assert asking_words(question) == words
