"""Answers: every kind passes the suite, and a new one is one file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

import autoprompt
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.answers import ANSWERS, Answers, answers_of
from autoprompt.workers.answers.label_words import LabelWords
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.wording import Wording
from tests.conftest import write_texts, write_yaml
from tests.tiny import TEXTS
from tests.workers.answers_suite import CHECKS, check_answers

#: For every kind, wordings that it must do with.
WORDINGS: dict[str, list[dict[str, Any]]] = {
    "label_words": [
        {"label_words": {"n": "dull", "p": ["great", "bright"], "o": "flat"}},
        {"label_words": {"n": "a mess", "p": "full of life"}, "label_scoring": "mean"},
        {
            "template": "{a} {b}:",
            "label_words": {"n": "a mess", "p": "a joy"},
            "label_scoring": "sum",
        },
        {
            "label_words": {"n": ["a mess", "dull"], "p": "a joy", "o": "a delight"},
            "label_scoring": "tree",
        },
    ],
    "scale": [
        {"label_words": {1: "dull", 2: "flat", 5: "great"}},
        {"label_words": {-1: "a mess", 1.5: "a joy"}, "label_scoring": "tree"},
    ],
    "several_labels": [
        {"label_words": {"n": "dull", "p": "great", "o": "flat"}, "yes_no": ["great", "dull"]},
    ],
}


class Grades(LabelWords):
    """Labels in their order, as grades: the answer is the grade expected on the mean."""

    def decided(self, log_probs: Any) -> Any:
        grades = (np.exp(log_probs) * np.arange(len(self.names))).sum(axis=-1)
        return np.rint(grades).astype(np.intp)

    def voted(self, log_probs: Any, weights: Sequence[float] | None = None) -> Any:
        """The weighted mean of the grades that members decide for."""
        decided, weights = (
            self.decided(log_probs),
            np.ones(len(log_probs)) if weights is None else weights,
        )
        return np.rint(np.average(decided, axis=0, weights=weights)).astype(np.intp)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", WORDINGS)
def test_every_kind_passes_the_suite(
    kind: str, check: Callable[[Answers, FrozenModel], None], tiny_model: FrozenModel
) -> None:
    for content in WORDINGS[kind]:
        answers = answers_of(Wording.model_validate({"answers": kind} | content))
        check(answers, tiny_model)


def test_no_kind_is_left_out() -> None:
    """Those that differ from text to text are in `test_continued_answers`."""
    assert {*WORDINGS, "options", "text", "spans"} == set(ANSWERS)


def test_predictions_are_kept_as_they_always_were() -> None:
    answers = answers_of(Wording.model_validate(WORDINGS["label_words"][0]))
    log_probs = torch.randn(5, 3).log_softmax(-1)
    assert answers.packed(log_probs.numpy()) == save({"log_probs": log_probs})


def test_a_kind_of_ones_own_is_searched_by(
    tiny_model: FrozenModel, tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    """Its decisions are what trials are judged by, what is voted on and what the report counts."""
    words = {"0": "dull", "1": "flat", "2": "great"}
    task = {"template": "{text}:", "label_words": words, "answers": f"{__name__}:Grades"}
    check_answers(answers_of(Wording.model_validate(task)), tiny_model)
    rows = [row | {"label": str(number % 3)} for number, row in enumerate(TEXTS)]
    write_texts(tmp_path / "texts.csv", rows)
    config = tiny_config | {"task": task}
    config["search"] |= {"workers": 0, "trials": 3, "rungs": 1}
    result = autoprompt.search(write_yaml(tmp_path / "scale.yaml", config), quiet=True)
    scale, labels = result.answers, np.array(result.validation_labels)
    assert isinstance(scale, Grades)
    for record in result.prompts():
        decided = scale.decided(scale.unpacked(record.log_probs))
        assert record.score == pytest.approx(float((decided == labels).mean()))
    members = [scale.unpacked(record.log_probs) for record in result.ensemble.members]
    voted = scale.voted(np.stack(members), result.ensemble.weights)
    assert result.ensemble.validation == pytest.approx(float((voted == labels).mean()))
    [prediction] = result.ensemble.predict(["a joy"])
    assert prediction.label in words


def test_a_kind_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="no kind of answers named 'label_word'; the nearest is"):
        answers_of(Wording.model_validate(WORDINGS["label_words"][0] | {"answers": "label_word"}))
