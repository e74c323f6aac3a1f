"""Hidden states of texts in the template: those that the answer is read off."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from autoprompt.evaluation.hidden_states import hidden_states
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import TaskSpec, build_task
from tests.conftest import DEMO_TASK
from tests.tiny import TEXTS, save_tiny_bert, save_tiny_model, save_tiny_roberta, save_tiny_t5

READ = [row["text"] for row in TEXTS[:9]] + ["the film is moving and full of life, a delight"]
CLOZE = TaskSpec(
    template="Review: {text} It was {mask}.",
    label_words={"negative": ("dull",), "positive": ("great",)},
)


def scorer_on(save: Callable[[Path], Path], task: TaskSpec, folder: Path) -> Scorer:
    model = load_model(ModelSpec(path=str(save(folder / "model")), dtype="float32"))
    return Scorer(model, build_task(task, model.tokenizer, model.family), longest_prompt=4)


@pytest.mark.parametrize(
    ("save", "task", "head"),
    [
        (save_tiny_model, DEMO_TASK, "lm_head"),
        (save_tiny_bert, CLOZE, "cls"),
        (save_tiny_roberta, CLOZE, "lm_head"),
    ],
)
def test_the_answer_is_read_off_them(
    save: Callable[[Path], Path], task: TaskSpec, head: str, tmp_path: Path
) -> None:
    scorer = scorer_on(save, task, tmp_path)
    states = hidden_states(scorer, READ)
    scorer.model.keep_logits_of(scorer.task.readout.kept)
    logits = getattr(scorer.model.model, head)(torch.tensor(states))
    found = torch.log_softmax(scorer.task.readout(logits[:, None]), dim=-1)
    torch.testing.assert_close(found, scorer.score_texts([Prompt("")], READ)[0])


def test_of_an_encoder_they_are_the_mean_over_each_text_alone(tmp_path: Path) -> None:
    scorer = scorer_on(save_tiny_t5, DEMO_TASK, tmp_path)
    counts: list[int] = []
    together = hidden_states(scorer, READ, counts.append)
    alone = np.concatenate([hidden_states(scorer, [text]) for text in READ])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert len(np.unique(together.round(4), axis=0)) == len(READ)
    assert counts == [len(READ)]
