"""Seconds of labelling 400 snippets by the prompts of folds: six plans of five folds each, of two
templates, beside one of them by itself. Nothing is trained: what a KV prompt holds takes no time.

    python -m benchmarks.fold_prediction
"""

import json

import torch

from autoprompt.workers.mixture import Mixture, Panel
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.prompt import Prompt, kv_prompt
from autoprompt.workers.task import build_task
from autoprompt.workers.text_states import KeysAndValues
from benchmarks.bagged import OTHER, PLANS
from benchmarks.prediction import timed
from benchmarks.setting import MODEL, SEED, TASK, movie_splits

FOLDS, LENGTH, TEXTS = 5, 8, 400


def run() -> dict[str, float]:
    model = load_model(MODEL)
    shape = KeysAndValues(model).row_shape
    assert shape is not None
    generator = torch.Generator().manual_seed(SEED)

    def drawn() -> Prompt:
        return kv_prompt(torch.randn(LENGTH, *shape, generator=generator), "end")

    own = PLANS * FOLDS // 2
    panels = [
        Panel(
            build_task(TASK.model_copy(update={"template": template}), model.tokenizer),
            [drawn() for _ in range(own)],
            LENGTH,
        )
        for template in (TASK.template, OTHER)
    ]
    texts = movie_splits().test.texts[:TEXTS]
    alone = Mixture(model, [Panel(panels[0].task, panels[0].prompts[:1], LENGTH)])
    together = Mixture(model, panels)
    return {
        "prompts": 2 * own,
        "one": timed(lambda: alone.score_texts(texts)),
        "ensemble": timed(lambda: together.score_texts(texts)),
    }


if __name__ == "__main__":
    print(json.dumps(run()))
