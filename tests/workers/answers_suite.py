"""What every kind of answers must do: a new one passes `check_answers`, and may be searched by."""

import json

import numpy as np
import torch
from torch import Tensor

from autoprompt.workers.answers import Answers, Readout, Right
from autoprompt.workers.answers.scale import Scale
from autoprompt.workers.answers.several_labels import SeveralLabels
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.question import build_question
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import Task

MEMBERS, TEXTS = 3, 7


def check_answers(answers: Answers, model: FrozenModel) -> None:
    """All of it."""
    for check in CHECKS:
        check(answers, model)


def seated(answers: Answers, model: FrozenModel) -> Readout:
    question = build_question(answers.wording.parsed_template, model.tokenizer, model.family)
    return answers.seated(question, model.family)


def logits_for(readout: Readout, model: FrozenModel, seed: int = 0) -> Tensor:
    """[N, B, 1 + branch tokens, kept tokens]."""
    places = 1 + len(readout.branches)
    kept = len(model.embeddings) if readout.kept is None else len(readout.kept)
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(MEMBERS, TEXTS, places, kept, generator=generator)


def log_probs_for(answers: Answers, model: FrozenModel, seed: int = 0) -> Tensor:
    """[N, B, A]."""
    readout = seated(answers, model)
    scores = readout(logits_for(readout, model, seed))
    return readout.log_probs(scores, torch.zeros(readout.size))


def rights_for(answers: Answers) -> list[Right]:
    """A right answer to each text: every label, numbers on and between steps, sets of labels."""
    if isinstance(answers, Scale):
        return np.linspace(answers.steps[0], answers.steps[-1], TEXTS).tolist()
    size = len(answers.names)
    if isinstance(answers, SeveralLabels):
        return [tuple(at for at in range(size) if number >> at & 1) for number in range(TEXTS)]
    return [number % size for number in range(TEXTS)]


def expected_for(answers: Answers, readout: Readout) -> Tensor:
    return readout.targets(rights_for(answers))


def check_answers_are_named_and_known_to_the_model(answers: Answers, model: FrozenModel) -> None:
    readout = seated(answers, model)
    assert len(set(answers.names)) == len(answers.names) == readout.size > 1
    tokens = {*readout.starts, *(token for ids in readout.spoken for token in ids)}
    assert tokens
    assert tokens <= set(range(len(model.embeddings)))
    assert json.loads(json.dumps(readout.as_dict()))


def check_scores_become_probabilities(answers: Answers, model: FrozenModel) -> None:
    readout = seated(answers, model)
    log_probs = log_probs_for(answers, model)
    assert log_probs.shape == (MEMBERS, TEXTS, readout.size)
    assert bool(((log_probs <= 0) & log_probs.isfinite()).all())
    if not isinstance(answers, SeveralLabels):
        torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(MEMBERS, TEXTS))


def check_a_prompt_learns(answers: Answers, model: FrozenModel) -> None:
    """Gradients reach the logits, and a step along them lowers the loss of every prompt."""
    readout = seated(answers, model)
    logits, expected = logits_for(readout, model).requires_grad_(), expected_for(answers, readout)
    losses = readout.losses(readout(logits), expected)
    assert losses.shape == (MEMBERS, TEXTS)
    losses.sum().backward()
    assert logits.grad is not None
    better = readout.losses(readout(logits.detach() - 0.1 * logits.grad), expected)
    assert bool((better.mean(1) < losses.mean(1)).all())


def check_the_loss_is_one(answers: Answers, model: FrozenModel) -> None:
    """What training, swaps and rungs call the loss is the same number."""
    readout = seated(answers, model)
    scores, expected = readout(logits_for(readout, model)), expected_for(answers, readout)
    log_probs = log_probs_for(answers, model)
    surprise = readout.surprise(log_probs, expected)
    torch.testing.assert_close(surprise, readout.losses(scores, expected), atol=1e-4, rtol=1e-4)
    for each, row in zip(log_probs, surprise, strict=True):
        assert np.isclose(readout.loss(each, expected), float(row.mean()), rtol=1e-5)


def check_calibration_takes_a_lean_off(answers: Answers, model: FrozenModel) -> None:
    """A prompt that says the same of everything says nothing once its lean is taken off."""
    readout = seated(answers, model)
    scores = readout(logits_for(readout, model))[0, :1]
    lean = readout.log_probs(scores, torch.zeros(readout.size))
    prior = readout.prior(lean.expand(TEXTS, -1))
    assert len(prior) == readout.size
    calibrated = readout.log_probs(scores, torch.tensor(prior))
    sides = 2 if isinstance(answers, SeveralLabels) else readout.size
    uniform = torch.full_like(calibrated, -float(np.log(sides)))
    torch.testing.assert_close(calibrated, uniform, atol=1e-4, rtol=0)


def check_members_vote(answers: Answers, model: FrozenModel) -> None:
    log_probs = log_probs_for(answers, model).numpy()
    decided = answers.decided(log_probs)
    right = answers.right(rights_for(answers))
    assert decided.shape == (MEMBERS, *right.shape)
    assert answers.correct(right, right).all()
    assert answers.same(decided, decided).shape == (MEMBERS, TEXTS)
    assert json.loads(json.dumps([answers.told(each) for each in decided[0]]))
    if answers.categorical:
        assert set(decided.flat) <= set(range(len(answers.names)))
    for number, alone in enumerate(log_probs):
        assert answers.same(answers.voted(alone[None]), decided[number]).all()
        # One whose vote outweighs the others' has its way, and of twins each has the other's.
        weights = [100.0 if member == number else 1.0 for member in range(MEMBERS)]
        assert answers.same(answers.voted(log_probs, weights), decided[number]).all()
        twins = answers.voted(np.stack([alone, alone]))
        assert answers.same(twins, decided[number]).all()


def check_predictions_are_stored_without_loss(answers: Answers, model: FrozenModel) -> None:
    log_probs = log_probs_for(answers, model)[0].numpy()
    content = answers.packed(log_probs)
    np.testing.assert_array_equal(answers.unpacked(content), log_probs)
    assert answers.packed(answers.unpacked(content)) == content
    right, decided = answers.right(rights_for(answers)), answers.decided(log_probs)
    for decisions in (right, decided):
        kept = answers.from_tensor(answers.tensor(decisions))
        assert answers.same(kept, decisions).all()


def check_texts_are_answered(answers: Answers, model: FrozenModel) -> None:
    """From rows to log-probabilities, over the text cache and past it alike."""
    question = build_question(answers.wording.parsed_template, model.tokenizer, model.family)
    task = Task(question, answers, answers.seated(question, model.family))
    scorer = Scorer(model, task, longest_prompt=2)
    from autoprompt.workers.prompt import Prompt

    prompts = [Prompt("", vectors=model.embed([5, 6]).float()), Prompt("", token_ids=(7,))]
    texts = scorer.tokenize([question.everywhere(cell) for cell in ("a joy", "dull")])
    cached = scorer.log_probs(prompts, texts)
    assert cached.shape == (2, 2, len(answers.names))
    torch.testing.assert_close(
        cached, scorer.log_probs(prompts, texts, once=True), atol=1e-4, rtol=0
    )


CHECKS = (
    check_answers_are_named_and_known_to_the_model,
    check_scores_become_probabilities,
    check_a_prompt_learns,
    check_the_loss_is_one,
    check_calibration_takes_a_lean_off,
    check_members_vote,
    check_predictions_are_stored_without_loss,
    check_texts_are_answered,
)
