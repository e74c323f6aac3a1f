"""What the benchmarks count and time, on the tiny model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from autoprompt.results import SearchResult
from autoprompt.search_spaces import KVPlan, SoftPlan
from autoprompt.workers.prompt import Laid, Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import Examples
from autoprompt.workers.tuners.progress import Backward
from autoprompt.workers.tuners.training import grade
from benchmarks import gpu, our_answer
from benchmarks.limit import Measured, blank, judge, random_prompts, train
from benchmarks.operations import Operations

SETTING = {"seed": 0, "length": 3, "learning_rate": 0.01, "steps": 4, "batch_size": 4}
PLANS: dict[str, Measured] = {
    "KV": KVPlan(**SETTING, init="vocabulary", position="end"),
    "soft": SoftPlan(**SETTING, init="vocabulary", position="suffix"),
    "soft at the end": SoftPlan(**SETTING, init="vocabulary", position="end"),
}


def assert_counted(operations: int, seen: FlopCounterMode) -> None:
    """Matrices as torch's own counter has them; of attention all that must be, and no more than
    that counter saw, which has masked keys, too."""
    kinds = seen.get_flop_counts()["Global"]
    in_layers, attention = (
        sum(kinds.get(getattr(torch.ops.aten, name), 0) for name in names)
        for names in (("mm", "addmm"), ("bmm", "baddbmm"))
    )
    assert 0.6 * attention < operations - in_layers <= attention


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("count", [1, 3])
def test_operations_are_those_that_torch_counts(
    plan: Measured, count: int, tiny_scorer: Scorer, examples: Examples
) -> None:
    length = len(examples.train[0])
    texts = [text for text in examples.train if len(text) == length][:4]
    labels = torch.zeros(len(texts), dtype=torch.long)
    operations, shape = Operations(tiny_scorer), blank(plan, tiny_scorer)
    trained = [Laid(*(part.clone().requires_grad_() for part in shape)) for _ in range(count)]
    tiny_scorer.label_logits([shape], texts)
    with FlopCounterMode(display=False) as seen:
        steps = [Backward(laid, list(range(len(texts)))) for laid in trained]
        grade(steps, tiny_scorer, Examples(texts, labels, [], labels[:0]))
    assert_counted(count * operations.training(shape, texts), seen)

    prompts = random_prompts(plan, count, tiny_scorer)
    with FlopCounterMode(display=False) as seen:
        tiny_scorer.log_probs(prompts, texts)
    assert_counted(count * operations.judging(shape, texts), seen)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_steps_and_judging_are_timed(
    plan: Measured, tiny_scorer: Scorer, examples: Examples
) -> None:
    alone, together = (train(plan, count, tiny_scorer, examples, steps=5) for count in (1, 4))
    assert together["operations"] == 4 * alone["operations"] > 0
    assert min(alone["seconds"], together["seconds"]) > 0
    judged = judge(plan, 2, tiny_scorer, examples)
    assert judged["rate"] == pytest.approx(judged["operations"] / judged["seconds"])


def test_a_gpus_rows_run_small_on_a_cpu(
    tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu.main(["--device", "cpu", "--small", "--model", str(tiny_folder)])
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert set(found["rates"]) == {"float32", "bfloat16", "float16"}
    assert found["left out"] == []
    for name in gpu.KINDS:
        for row in (f"training step, 4 {name}", f"judging, 4 {name}"):
            assert found["rows"][row]["share"] > 0
            assert row in printed.err
        assert found["rows"][f"new texts, 5 {name} voting"]["texts"] == gpu.SMALL.validation


def test_rows_that_time_does_not_suffice_for_are_named(
    tiny_scorer: Scorer,
) -> None:
    found = gpu.measure(tiny_scorer, gpu.SMALL, seconds=0)
    assert found["rows"] == {}
    assert found["left out"] == list(gpu.rows(tiny_scorer, gpu.SMALL))


def test_the_best_prompt_that_surprises_no_more_than_texts_do(
    finished: SearchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    hard = [each for each in finished.prompts() if each.kind == "hard"]
    sides = [Prompt.from_bytes(each.content).sides for each in hard]
    assert len(set(sides)) > 1
    real = our_answer.readable(finished)
    assert real["usual"] > 1
    assert real["best"]["perplexity"] > 1

    def found(texts: float) -> dict[str, Any]:
        """Each prompt surprises less than those that score more."""
        monkeypatch.setattr(our_answer, "text_surprise", lambda *_: torch.tensor([texts]))
        monkeypatch.setattr(
            our_answer, "surprise", lambda asked, *_: torch.tensor([9.0 - sides.index(asked[0])])
        )
        return our_answer.readable(finished)

    everything = found(9.5)
    assert everything["best"]["trial"] == hard[0].number
    assert everything["readable"] == everything["best"]
    assert everything["readable_prompts"] == everything["prompts"] == len(hard)
    fewer = found(8.5)
    second = next(place for place, own in enumerate(sides) if own != sides[0])
    assert fewer["readable"]["trial"] == hard[second].number
    assert fewer["readable"]["validation"] == hard[second].score
    assert 0 < fewer["readable_prompts"] < len(hard)
    assert found(0.0)["readable"] is None
