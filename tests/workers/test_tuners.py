"""The tuners: they learn, they stop where they should, and the same seed gives the same prompt."""

from dataclasses import replace
from typing import Any, get_args

import pytest
import torch

from autoprompt.search_spaces import HardPlan, SoftPlan
from autoprompt.search_spaces.kind_spaces import Calibration, Init
from autoprompt.workers.answers.word_readout import Word, WordReadout
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import Task, TaskSpec, build_task
from autoprompt.workers.tuners import Examples, Progress, TrialDivergedError, tune
from autoprompt.workers.tuners.calibration import calibrated
from autoprompt.workers.tuners.inits import initial_vectors
from autoprompt.workers.tuners.optimizers import build_optimizer
from autoprompt.workers.tuners.progress import rungs_by_step
from autoprompt.workers.tuners.vocabulary import readable_tokens, reads_back
from tests.workers.test_frozen_model import parameters_digest

SOFT = SoftPlan(
    seed=1,
    length=4,
    init="vocabulary",
    learning_rate=0.05,
    steps=40,
    batch_size=16,
    position="suffix",
)
HARD = HardPlan(
    seed=1,
    tokens=3,
    start="in short",
    candidates=12,
    rounds=10,
    batch_size=32,
    position="suffix",
)
RUNGS = (0.25, 0.5, 1.0)


def loss_without_prompt(scorer: Scorer, examples: Examples) -> float:
    scores = scorer.log_probs([Prompt("")], examples.validation)[0]
    return float(torch.nn.functional.nll_loss(scores, examples.validation_labels))


@pytest.mark.parametrize(
    "plan",
    [SOFT, SOFT.model_copy(update={"position": "prefix"}), HARD],
    ids=["soft suffix", "soft prefix", "hard"],
)
def test_a_tuner_learns_and_reports_each_rung(
    plan: SoftPlan | HardPlan, tiny_scorer: Scorer, examples: Examples
) -> None:
    # Judged on the texts it learns from: with random weights there is nothing to generalise to.
    examples = replace(examples, validation=examples.train, validation_labels=examples.train_labels)
    before = parameters_digest(tiny_scorer.model)
    reports = list(tune(plan, tiny_scorer, examples, RUNGS))
    assert [report.rung for report in reports] == [1, 2, 3]
    assert reports[-1].step == plan.budget
    assert reports[-1].loss < loss_without_prompt(tiny_scorer, examples)
    assert reports[-1].log_probs.shape == (len(examples.validation), 2)
    assert len(reports[-1].prompt) == (plan.length if plan.kind == "soft" else plan.tokens)
    assert parameters_digest(tiny_scorer.model) == before, "the frozen model changed"


@pytest.mark.parametrize("plan", [SOFT, HARD], ids=["soft", "hard"])
def test_the_same_seed_gives_the_same_bytes(
    plan: SoftPlan | HardPlan, tiny_scorer: Scorer, examples: Examples
) -> None:
    def last(chosen: SoftPlan | HardPlan) -> Progress:
        return list(tune(chosen, tiny_scorer, examples, RUNGS))[-1]

    first, again = last(plan), last(plan)
    assert first.prompt.to_bytes() == again.prompt.to_bytes()
    assert torch.equal(first.log_probs, again.log_probs)
    other = last(plan.model_copy(update={"seed": 2}))
    assert other.prompt.digest != first.prompt.digest


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_every_optimizer_and_schedule_learns(
    optimizer: str, schedule: str, tiny_scorer: Scorer, examples: Examples
) -> None:
    plan = SoftPlan.model_validate(
        SOFT.model_dump()
        | {"optimizer": optimizer, "schedule": schedule, "gradient_clip": 1.0, "warmup": 0.2}
    )
    (report,) = tune(plan, tiny_scorer, examples, (1.0,))
    start = next(iter(tune(SOFT.model_copy(update={"steps": 1}), tiny_scorer, examples, (1.0,))))
    assert report.train_loss < start.train_loss


def test_the_learning_rate_rises_and_falls() -> None:
    def rates(**changes: object) -> list[float]:
        plan = SOFT.model_copy(update={"steps": 20, "learning_rate": 1.0} | changes)
        vectors = torch.nn.Parameter(torch.zeros(1, 1))
        vectors.grad = torch.zeros(1, 1)
        optimizer, schedule = build_optimizer(plan, vectors)
        found = []
        for _ in range(plan.steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return found

    constant = rates(schedule="constant", warmup=0.2)
    assert constant == [0.25, 0.5, 0.75] + [1.0] * 17
    for schedule in ("linear", "cosine"):
        found = rates(schedule=schedule, warmup=0.0)
        assert found[0] == 1.0
        assert found == sorted(found, reverse=True)
        assert 0 < found[-1] < 0.06


def test_clipping_bounds_the_first_step(tiny_scorer: Scorer, examples: Examples) -> None:
    """With a plain rate and Adafactor's clip out of the way, a clipped gradient moves less."""
    plan = SOFT.model_copy(update={"steps": 1, "weight_decay": 0.0})
    free = next(iter(tune(plan, tiny_scorer, examples, (1.0,)))).prompt.vectors
    tight = next(
        iter(tune(plan.model_copy(update={"gradient_clip": 1e-9}), tiny_scorer, examples, (1.0,)))
    ).prompt.vectors
    generator = torch.Generator().manual_seed(plan.seed)
    start = initial_vectors(plan, tiny_scorer.model, tiny_scorer.task, generator)
    assert free is not None
    assert tight is not None
    assert (tight - start).norm() < 0.5 * (free - start).norm()


def test_patience_ends_a_trial_that_gets_no_better(tiny_scorer: Scorer, examples: Examples) -> None:
    still = SOFT.model_copy(update={"learning_rate": 1e-12, "steps": 8})
    fractions = (0.25, 0.5, 0.75, 1.0)
    reports = list(tune(still, tiny_scorer, examples, fractions, patience=1))
    assert [report.ended for report in reports] == [False, True]
    reports = list(tune(still, tiny_scorer, examples, fractions))
    assert [report.ended for report in reports] == [False, False, False, True]


@pytest.mark.parametrize("calibration", ["content_free", "batch"])
def test_a_calibrated_prompt_leans_to_no_label(
    calibration: Calibration, tiny_scorer: Scorer, examples: Examples
) -> None:
    bare = Prompt("", (5, 6, 7))
    fair = calibrated(bare, calibration, tiny_scorer, examples)
    assert fair.digest != bare.digest
    assert Prompt.from_bytes(fair.to_bytes()).prior == fair.prior
    texts = (
        tiny_scorer.tokenize(["N/A", "...", "nothing"])
        if calibration == "content_free"
        else examples.train
    )

    def lean(prompt: Prompt) -> float:
        mean = tiny_scorer.log_probs([prompt], texts)[0].exp().mean(0)
        return float((mean[0] - mean[1]).abs())

    assert lean(bare) > 0.05
    assert lean(fair) < 0.5 * lean(bare)


def test_calibration_is_taken_off_once_and_as_bayes_says(
    tiny_scorer: Scorer, examples: Examples
) -> None:
    bare = Prompt("", (5, 6, 7))
    prior = (-0.2, -1.7)
    scores = tiny_scorer.log_probs([bare, replace(bare, prior=prior)], examples.validation)
    expected = torch.log_softmax(scores[0] - torch.tensor(prior), dim=-1)
    torch.testing.assert_close(scores[1], expected)


def test_a_batch_too_large_for_memory_is_learned_from_in_parts(
    tiny_scorer: Scorer, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = SOFT.model_copy(update={"steps": 6})
    (whole,) = tune(plan, tiny_scorer, examples, (1.0,))
    honest = Scorer.label_logits

    def small_memory(self: Scorer, prompts: Any, texts: Any, **options: Any) -> torch.Tensor:
        if len(texts) > 5 and prompts[0].back.requires_grad:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return honest(self, prompts, texts, **options)

    monkeypatch.setattr(Scorer, "label_logits", small_memory)
    (parts,) = tune(plan, tiny_scorer, examples, (1.0,))
    assert tiny_scorer.training_budget.tokens < 100
    assert whole.prompt.vectors is not None
    assert parts.prompt.vectors is not None
    torch.testing.assert_close(parts.prompt.vectors, whole.prompt.vectors, atol=1e-3, rtol=1e-3)


def test_a_diverging_trial_says_when_and_what_may_help(
    tiny_scorer: Scorer, examples: Examples
) -> None:
    plan = SOFT.model_copy(update={"learning_rate": float("inf")})
    with pytest.raises(TrialDivergedError, match=r"loss became nan at step \d+; .*learning_rate"):
        list(tune(plan, tiny_scorer, examples, RUNGS))


def test_hard_prompts_read_back_as_the_tokens_that_were_scored(
    tiny_scorer: Scorer, examples: Examples
) -> None:
    for report in tune(HARD, tiny_scorer, examples, RUNGS):
        prompt = report.prompt
        written = "good" + prompt.text + tiny_scorer.task.question.template.tail
        ids = tiny_scorer.model.tokenizer(written, add_special_tokens=False).input_ids
        expected = (*prompt.token_ids, *tiny_scorer.task.question.tail_ids)
        assert tuple(ids[-len(expected) :]) == expected


def test_tokens_that_merge_with_their_neighbours_are_refused(
    tiny_model: FrozenModel, tiny_task: Task
) -> None:
    tokenizer = tiny_model.tokenizer
    whole = tokenizer(" film", add_special_tokens=False).input_ids
    pieces = [tokenizer.convert_tokens_to_ids(piece) for piece in ("Ġ", "f", "i", "l", "m")]
    assert whole != pieces
    kept = reads_back([tuple(whole), tuple(pieces)], "suffix", tiny_task, tiny_model)
    assert kept == [True, False]


def test_a_prompt_before_the_answer_leaves_the_label_words_as_they_are(
    tiny_model: FrozenModel,
) -> None:
    tokenizer = tiny_model.tokenizer
    words = {"negative": "dull", "positive": "warm"}
    spec = {"template": "{text} It was", "label_words": words}
    task = build_task(TaskSpec.model_validate(spec), tiny_model.tokenizer)
    # " f" before "ilm" reads back as " film".
    prompt = tuple(tokenizer(" f", add_special_tokens=False).input_ids)
    rest = tuple(tokenizer("ilm", add_special_tokens=False).input_ids)
    words = [Word(0, rest), task.readout.words[1]]
    glued = replace(task, readout=WordReadout(task.answers.names, words))
    assert reads_back([prompt], "end", task, tiny_model) == [True]
    assert reads_back([prompt], "end", glued, tiny_model) == [False]
    assert reads_back([prompt], "suffix", glued, tiny_model) == [True]
    behind_nothing = replace(glued, question=replace(glued.question, tail_ids=()))
    assert reads_back([prompt], "suffix", behind_nothing, tiny_model) == [False]


def test_special_and_broken_tokens_are_not_readable(tiny_model: FrozenModel) -> None:
    readable = readable_tokens(tiny_model)
    tokenizer = tiny_model.tokenizer
    assert readable.shape == (len(tiny_model.embeddings),)
    assert not readable[tokenizer.eos_token_id]
    assert not readable[tokenizer.convert_tokens_to_ids("Ġ")]
    assert readable[tokenizer(" film", add_special_tokens=False).input_ids[0]]


@pytest.mark.parametrize("init", get_args(Init))
def test_inits(init: Init, tiny_model: FrozenModel, tiny_task: Task) -> None:
    changes = {"init": init, "init_text": "in short", "init_prompt": "movies/3", "length": 5}
    plan = SOFT.model_copy(update=changes)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(2, tiny_model.hidden_size, generator=generator)
    earlier = {"movies/3": Prompt("", vectors=start)}
    vectors = initial_vectors(plan, tiny_model, tiny_task, generator, earlier)
    assert vectors.shape == (5, tiny_model.hidden_size)
    assert vectors.dtype == torch.float32
    if init == "labels":
        negative, positive = tiny_model.embed(tiny_task.readout.starts)
        torch.testing.assert_close(
            vectors, torch.stack([negative, positive, negative, positive, negative])
        )
    if init == "prompt":
        torch.testing.assert_close(vectors, start[[0, 1, 0, 1, 0]])
        hard = {"movies/3": Prompt("", (5, 6))}
        vectors = initial_vectors(plan, tiny_model, tiny_task, generator, hard)
        torch.testing.assert_close(vectors, tiny_model.embed([5, 6, 5, 6, 5]))
    if init == "uniform":
        assert 0.4 < float(vectors.abs().max()) <= 0.5
    if init == "text":
        ids = tiny_model.tokenizer(" in short", add_special_tokens=False).input_ids
        repeated = [ids[place % len(ids)] for place in range(5)]
        torch.testing.assert_close(vectors, tiny_model.embed(repeated))


def test_a_small_budget_keeps_the_later_of_two_rungs_on_one_step() -> None:
    assert rungs_by_step(40, RUNGS) == {10: 1, 20: 2, 40: 3}
    assert rungs_by_step(1, RUNGS) == {1: 3}
    assert rungs_by_step(3, RUNGS) == {1: 1, 2: 2, 3: 3}


def test_an_epoch_shows_every_text_once(examples: Examples) -> None:
    few = replace(examples, train=examples.train[:10])
    batches = few.train_batches(5, seed=0)
    assert sorted(next(batches) + next(batches)) == list(range(10))
