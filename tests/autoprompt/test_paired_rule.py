"""ASHA held back: on a part of the validation texts it stops what a paired test finds worse."""

from pathlib import Path

import numpy as np
import pytest

from autoprompt.config import SearchConfig
from autoprompt.controller.asha_scheduler import AshaByKind
from autoprompt.controller.callbacks.store_writer import StoreWriter
from autoprompt.controller.paired_rule import PairedRule
from autoprompt.controller.resume import settle
from autoprompt.controller.stopping_rule import Ladder, NoStopping
from autoprompt.controller.stopping_rules import rule_over
from autoprompt.progress import SearchProgress
from autoprompt.search_spec import SearchSpec
from autoprompt.statistics.paired_test import PairedTest
from autoprompt.store import Store
from autoprompt.workers.answers import answers_of
from autoprompt.workers.blocks import Blocks
from autoprompt.workers.metrics import METRICS
from autoprompt.workers.report import Report, Step
from tests.autoprompt.test_store import search_fields, start
from tests.conftest import DEMO_TASK
from tests.reports import report

BLOCK, TEXTS = 100, 400
LABELS = np.arange(TEXTS) % 2
BLOCKS = Blocks(tuple(range(TEXTS)), (BLOCK,))
LADDER = Ladder(("soft", "hard"), rungs=2, reduction_factor=2)
ANSWERS = answers_of(DEMO_TASK)
QUIET = SearchProgress(quiet=True)


def rule(metric: str = "accuracy") -> PairedRule:
    test = PairedTest(LABELS, METRICS[metric], ANSWERS.decided, ANSWERS.unpacked)
    made = PairedRule(AshaByKind(LADDER), BLOCKS, test)
    for number in range(10):
        made.enter(number, "soft")
    return made


def predicted(wrong: range, texts: int = BLOCK) -> bytes:
    """Predictions that are wrong on these texts."""
    says = np.array([label ^ (place in wrong) for place, label in enumerate(LABELS[:texts])])
    probabilities = np.where(np.arange(2) == says[:, None], 0.9, 0.1)
    return ANSWERS.packed(np.log(probabilities).astype(np.float32))


def at_block(number: int, wrong: range, rung: int = 1) -> Report:
    score = 1 - len(wrong) / BLOCK
    return report(number, rung, score, judged=BLOCK, log_probs=predicted(wrong))


def at_all(number: int, score: float, rung: int = 2) -> Report:
    return report(number, rung, score, "complete", log_probs=predicted(range(0), TEXTS))


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "macro_f1"])
def test_what_may_be_chance_goes_on_and_what_is_clearly_worse_does_not(metric: str) -> None:
    made = rule(metric)
    assert not made.ends(at_block(0, range(10)))
    # Two texts of a hundred more, then thirty.
    assert not made.ends(at_block(1, range(6, 18)))
    assert made.ends(at_block(2, range(40)))
    bare = AshaByKind(LADDER)
    for number in range(2):
        bare.enter(number, "soft")
    assert not bare.stops(0, 1, 0.90)
    assert bare.stops(1, 1, 0.88), "without the test it would have been stopped"


def test_the_texts_are_paired() -> None:
    """Eight texts more, and none of those that the best has wrong right: as a difference between
    two samples it is nothing, on the same texts it is clear."""
    made = rule()
    made.ends(at_block(0, range(30)))
    assert made.ends(at_block(1, range(38)))
    made = rule()
    made.ends(at_block(0, range(30)))
    assert not made.ends(at_block(1, range(32, 70)))


def test_the_test_is_against_the_best_of_its_kind_so_far() -> None:
    made = rule()
    made.enter(10, "hard")
    made.enter(11, "hard")
    made.ends(at_block(10, range(45)))
    made.ends(at_block(0, range(20)))
    made.ends(at_block(1, range(10)))
    assert made.ends(at_block(2, range(24)))
    assert not made.ends(at_block(11, range(46))), "one text behind the best of its kind"


def test_where_all_texts_judge_the_rule_itself_decides() -> None:
    made = rule()
    assert not made.ends(at_all(0, 0.9))
    assert made.ends(at_all(1, 0.899))


def test_one_that_ended_by_patience_is_not_ranked_with_what_a_part_judged() -> None:
    made = rule()
    assert not made.ends(at_all(0, 1.0, rung=1))
    assert not made.ends(at_block(1, range(40))), "the first on its rung"
    assert not made.ends(at_all(2, 0.1, rung=1)), "it has ended by itself"


def test_a_rule_that_ranks_is_asked_so_where_a_part_judges() -> None:
    def made(stopping: str, judging: int | str) -> type:
        spec = SearchSpec(rungs=2, judging=judging, stopping=stopping)
        config = SearchConfig.model_construct(task=DEMO_TASK, search=spec, space=_Kinds())
        return type(rule_over(config, LABELS.tolist()))

    assert made("asha", BLOCK) is PairedRule
    assert made("asha", "all") is AshaByKind
    assert made("asha", "auto") is AshaByKind
    assert made("none", BLOCK) is NoStopping


class _Kinds:
    kinds = ("soft", "hard")


def test_after_a_resume_it_decides_the_same(tmp_path: Path) -> None:
    """What the best had said of the block is read back from the store; so is what was ranked."""
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    search = store.create_search(**search_fields(validation_labels=LABELS.tolist()))
    writer, live = StoreWriter(store, search.id, QUIET), rule()
    past = [
        [at_block(0, range(12)), at_all(0, 0.8)],
        [at_block(1, range(10)), at_all(1, 0.9)],
        [at_all(2, 0.95, rung=1)],
        [at_block(3, range(60))],
    ]
    for number, reports in enumerate(past):
        start(store, search.id, number)
        [trial] = [one for one in store.trials(search.id) if one.number == number]
        drawn = {"params": trial.params, "distributions": {}}
        writer.began({"number": number, "plan": trial.plan} | drawn)
        for one in reports:
            one.stopped = live.ends(one) and not one.ended
            writer.reported(one, Step([], "here:1"))
        live.leave(number)
    resumed = rule().replay((settled := settle(store, search, 3, QUIET)).ended, settled.log_probs)
    assert {trial.number: trial.state for trial in settled.ended} == {
        0: "complete", 1: "complete", 2: "complete", 3: "pruned",
    }  # fmt: skip
    new = [
        (5, range(5, 18), False),  # behind the cut, and perhaps by chance behind the best
        (6, range(24), True),
        (7, range(16), True),
        (8, range(90, 99), False),
    ]
    for number, wrong, stops in new:
        assert live.ends(at_block(number, wrong)) is stops, wrong
        assert resumed.ends(at_block(number, wrong)) is stops, wrong
