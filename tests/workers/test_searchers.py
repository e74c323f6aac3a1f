"""Hard prompts by every searcher: words that read back, and score elsewhere what is stored."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from autoprompt.search_spaces import HardPlan
from autoprompt.search_spaces.errors import AutopromptError, ModelError
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import Examples, Progress, racing, tune
from autoprompt.workers.tuners.arrangement import Arrangement
from autoprompt.workers.tuners.fluency import likely_tokens, surprise, text_surprise
from autoprompt.workers.tuners.hard import tune_hard
from autoprompt.workers.tuners.progress import AtRung
from autoprompt.workers.tuners.racing import Racing
from autoprompt.workers.tuners.searchers import SEARCHERS, Place
from autoprompt.workers.tuners.searchers.edits import joined, phrases_of
from autoprompt.workers.tuners.training import grade, passed_on
from autoprompt.workers.writer import check_writer
from tests import tiny
from tests.tiny import TEXTS

PLAN = HardPlan(
    seed=3,
    searcher="swaps",
    tokens=4,
    start="in short",
    candidates=6,
    rounds=4,
    batch_size=8,
    position="suffix",
)
ORDER = range(56)
SHARED = {"phrases": ("the film", "in short", "a joy", "the plot is", "dull")}


def plan_of(searcher: str, **changes: Any) -> HardPlan:
    return PLAN.model_copy(update={"searcher": searcher, **SHARED, "tokens": 8, **changes})


def last(plan: HardPlan, scorer: Scorer, examples: Examples) -> Progress:
    return list(tune(plan, scorer, examples, (0.5, 1.0)))[-1]


def pasted(folder: Path, question: str, text: str, words: list[str]) -> list[float]:
    """The label words' log-probabilities by a plain script that knows the string alone."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(question.replace("{text}", text), return_tensors="pt").input_ids
    firsts = [tokenizer(f"{question[-1]} {word}").input_ids[-1] for word in words]
    with torch.no_grad():
        logits = model(ids).logits[0, -1, firsts]
    found: list[float] = torch.log_softmax(logits, dim=-1).tolist()
    return found


@pytest.mark.parametrize("position", ["suffix", "prefix"])
@pytest.mark.parametrize("searcher", list(SEARCHERS))
def test_a_found_prompt_is_a_string_that_scores_the_same_elsewhere(
    searcher: str, position: str, tiny_folder: Path, tiny_scorer: Scorer, examples: Examples
) -> None:
    found = last(plan_of(searcher, position=position), tiny_scorer, examples)
    question = found.prompt.question(tiny_scorer.model.tokenizer)
    assert question is not None
    assert question.isprintable() or question.replace("\n", "").isprintable()
    text = TEXTS[0]["text"]
    [stored] = tiny_scorer.log_probs([found.prompt], tiny_scorer.tokenize([text]))[0]
    words = [own[0] for own in tiny_scorer.wording.label_words.values()]
    assert pasted(tiny_folder, question, text, words) == pytest.approx(stored.tolist(), abs=1e-4)


@pytest.mark.parametrize("searcher", list(SEARCHERS))
def test_the_same_seed_finds_the_same_words(
    searcher: str, tiny_scorer: Scorer, examples: Examples
) -> None:
    first, again = (last(plan_of(searcher), tiny_scorer, examples) for _ in range(2))
    assert first.prompt.token_ids == again.prompt.token_ids


@pytest.mark.parametrize("searcher", ["swaps", "edits", "policy"])
def test_a_searcher_lowers_the_loss(searcher: str, tiny_scorer: Scorer, examples: Examples) -> None:
    plan = plan_of(searcher, rounds=12, candidates=12)
    arranged = Arrangement(plan, tiny_scorer)
    generator = torch.Generator().manual_seed(0)
    start = SEARCHERS[searcher](
        Place(plan, tiny_scorer, examples, arranged, ORDER, generator)
    ).start
    before = tiny_scorer.losses(
        [arranged.prompt(start)], examples.train, examples.train_labels
    ).mean()
    found = last(plan, tiny_scorer, examples).prompt
    after = tiny_scorer.losses([found], examples.train, examples.train_labels).mean()
    assert float(after) < float(before)


def test_none_asks_the_template_as_it_is(tiny_scorer: Scorer, examples: Examples) -> None:
    plan = HardPlan(seed=0, searcher="none")
    [found] = tune(plan, tiny_scorer, examples, (0.25, 0.5, 1.0))
    assert (found.rung, found.ended, len(found.prompt)) == (3, True, 0)
    alone = tiny_scorer.log_probs([Prompt("")], examples.validation)[0]
    assert torch.equal(found.log_probs, alone)


def test_swaps_may_be_several_and_change_the_length(
    tiny_scorer: Scorer, examples: Examples
) -> None:
    plan = plan_of("swaps", tokens=5, candidates=24)
    arranged = Arrangement(plan, tiny_scorer)
    generator = torch.Generator().manual_seed(0)
    swaps = SEARCHERS["swaps"](Place(plan, tiny_scorer, examples, arranged, ORDER, generator))
    gradient = torch.randn(len(swaps.start), tiny_scorer.model.hidden_size, generator=generator)
    early = swaps.propose(swaps.start, gradient, 0.0)
    late = swaps.propose(swaps.start, gradient, 0.9)

    def apart(ids: tuple[int, ...]) -> int:
        return sum(one != other for one, other in zip(ids, swaps.start, strict=True))

    assert {len(ids) for ids in early} == {4, 5}
    assert max(apart(ids) for ids in early if len(ids) == 5) > 1
    assert max(apart(ids) for ids in late if len(ids) == 5) == 1


def test_edits_are_of_whole_phrases(tiny_scorer: Scorer, examples: Examples) -> None:
    plan = plan_of("edits", candidates=30, tokens=40)
    arranged = Arrangement(plan, tiny_scorer)
    generator = torch.Generator().manual_seed(0)
    edits = SEARCHERS["edits"](Place(plan, tiny_scorer, examples, arranged, ORDER, generator))
    known = {word for phrase in (*SHARED["phrases"], plan.start) for word in phrase.split()}
    proposed = edits.propose(edits.start, None, 0.0)
    assert proposed
    for ids in proposed:
        assert set(tiny_scorer.model.tokenizer.decode(ids).split()) <= known
    assert phrases_of("On the whole, it was rather a long film.") == [
        "On the whole,", "it was rather", "a long film.",
    ]  # fmt: skip
    assert joined(["on the whole ,", "so"]) == "on the whole, so"


@pytest.mark.parametrize("searcher", ["edits", "rewriting"])
def test_one_phrase_needs_one_place(searcher: str, tiny_scorer: Scorer, examples: Examples) -> None:
    with pytest.raises(AutopromptError, match="writes one phrase"):
        last(plan_of(searcher, position="both"), tiny_scorer, examples)


def test_words_in_several_places_of_the_template(tiny_scorer: Scorer, examples: Examples) -> None:
    template = "{text} the {hard} is {hard}:"
    wording = tiny_scorer.wording.reworded("{text}:", None)
    scorer = tiny_scorer.reworded(wording)
    plan = plan_of("swaps", template=template, tokens=4)
    found = last(plan, scorer, examples)
    assert found.prompt.text.startswith("{text} the ")
    assert found.prompt.text.endswith(":")
    assert " is" in found.prompt.text
    assert tiny_scorer.model.tokenizer.decode(found.prompt.token_ids).startswith(" the")


@pytest.mark.parametrize("searcher", list(SEARCHERS))
def test_no_words_are_reported_where_words_do_no_better(
    searcher: str, tiny_scorer: Scorer, examples: Examples
) -> None:
    plan = plan_of(searcher, start="dull", rounds=1, batch_size=56, candidates=2)
    found = last(plan, tiny_scorer, examples).prompt
    losses = tiny_scorer.losses([Prompt(""), found], examples.train, examples.train_labels)
    alone, reported = losses.mean(1).tolist()
    assert reported <= alone + 1e-6


@pytest.mark.parametrize("template", ["{text} {hard}:", "{text} the {hard} is {hard}:"])
def test_words_are_searched_on_from_words_where_none_do_better(
    template: str, tiny_scorer: Scorer, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is tried is made to lose less than all before it: no words, which are tried when the
    first round is over, less than its words, and the second round's less than those."""
    gains: dict[tuple[int, ...], float] = {}

    def losses(candidates: Any, places: Any) -> torch.Tensor:
        for ids in candidates:
            gains.setdefault(ids, 1.0 + len(gains))
        texts = 1 + torch.arange(len(places)) / 10
        return torch.stack([-gains[ids] * texts for ids in candidates])

    monkeypatch.setattr("autoprompt.workers.tuners.hard._losses", lambda *_: losses)
    scorer = tiny_scorer.reworded(tiny_scorer.wording.reworded("{text}:", None))
    plan = plan_of("swaps", template=template, tokens=4, rounds=2, candidates=4)
    tuner = tune_hard(plan, scorer, examples, (0.5, 1.0))
    reported = []
    asked = next(tuner)
    while asked is not None:
        if isinstance(asked, AtRung):
            reported.append(asked.prompt)
            asked = next(tuner, None)
        else:
            [graded] = grade([asked], scorer, examples)
            passed_on(asked.laid, graded)
            asked = tuner.send(graded.loss)
    arranged = Arrangement(plan, scorer)
    assert reported[0].token_ids == arranged.prompt(()).token_ids
    assert len(reported[1]) == len(reported[0]) + 4


def test_a_fluent_prompt_costs_less(tiny_scorer: Scorer, examples: Examples) -> None:
    arranged = Arrangement(PLAN, tiny_scorer)
    ids = tuple(tiny_scorer.model.tokenizer(" in short", add_special_tokens=False).input_ids)
    found = surprise([arranged.sides(ids)], tiny_scorer, examples.train[:2])
    tail = tiny_scorer.task.question.tail_ids
    by_hand = []
    for text in examples.train[:2]:
        row = (*text, *ids, *tail)
        model: Any = tiny_scorer.model.model
        tiny_scorer.model.keep_logits_of(None)
        with torch.no_grad():
            logits = model(torch.tensor([row])).logits[0]
        losses = torch.nn.functional.cross_entropy(
            logits[:-1], torch.tensor(row[1:]), reduction="none"
        )
        by_hand.append(losses[len(text) - 1 :].mean())
    assert float(found[0]) == pytest.approx(float(torch.stack(by_hand).mean()), abs=1e-5)
    assert len(text_surprise(examples.train[:3], tiny_scorer)) == 3
    bare = tiny_scorer.reworded(tiny_scorer.wording.reworded("{text}", None))
    assert surprise([((), ())], bare, examples.train).tolist() == [0]
    likely = likely_tokens(ids, arranged, tiny_scorer, examples.train)
    assert likely is not None
    assert likely.shape == (len(ids), len(tiny_scorer.model.embeddings))


@pytest.mark.parametrize("term", ["fluency", "any_label"])
def test_a_term_changes_what_is_found(term: str, tiny_scorer: Scorer, examples: Examples) -> None:
    plain = last(plan_of("swaps", rounds=6), tiny_scorer, examples)
    heavy = last(plan_of("swaps", rounds=6, **{term: 50.0}), tiny_scorer, examples)
    assert plain.prompt.token_ids != heavy.prompt.token_ids


def test_a_writer_that_writes_nothing_is_refused(tmp_path: Path) -> None:
    folder = tiny.save_tiny_bert(tmp_path / "bert")
    with pytest.raises(ModelError, match="only causal ones write"):
        check_writer(str(folder))


@pytest.mark.parametrize(("searcher", "chance"), [("swaps", 0.2), ("edits", 0.1)])
def test_each_searcher_races_at_its_own_chance(
    searcher: str,
    chance: float,
    tiny_scorer: Scorer,
    examples: Examples,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[float] = []
    monkeypatch.setattr(racing, "clearly_worse", lambda *losses: asked.append(losses[-1]))
    last(plan_of(searcher, rounds=1), tiny_scorer, examples)
    assert set(asked) == {chance}


def test_demonstrations_are_searched_among_texts_that_no_race_goes_over(
    tiny_scorer: Scorer, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    raced: set[int] = set()
    run = Racing._score

    def noted(self: Racing, candidates: Any, number: int) -> None:
        raced.update(self._blocks[number])
        run(self, candidates, number)

    monkeypatch.setattr(Racing, "_score", noted)
    plan = plan_of("demonstrations", rounds=6, demonstrations=2)
    found = last(plan, tiny_scorer, examples).prompt
    assert found.position == "prefix"
    decode = tiny_scorer.model.tokenizer.decode
    written = decode(found.token_ids)
    shown = [place for place, ids in enumerate(examples.train) if f"{decode(ids)}\n" in written]
    assert len(shown) == 2
    assert not raced & set(shown)
    assert len({int(examples.train_labels[place]) for place in shown}) == 2
    assert written.endswith("\n\n")
