"""Which parts of a prompt do the work: its score on validation with each position left out in turn.

That is as far as an explanation of trained numbers can honestly go. What a position says is not in
it, and two that do the same work each look idle, since the other is there.
"""

from typing import Any

import numpy as np
import torch

from autoprompt.config import SearchConfig
from autoprompt.progress import SearchProgress
from autoprompt.search_answers import metric_of
from autoprompt.search_model import model_of
from autoprompt.search_spaces.errors import DataError
from autoprompt.store import PromptRecord, SearchRecord
from autoprompt.workers.data import Split
from autoprompt.workers.embedding_table import nearest_tokens
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.prompt import VIRTUAL, Prompt
from autoprompt.workers.scoring import load_scorer

#: Standard errors to either side of a mean that hold 95% of a normal distribution.
_TWO_SIDES = 1.96


def left_out(
    search: SearchRecord, record: PromptRecord, progress: SearchProgress
) -> dict[str, Any]:
    """A stored prompt, whole and without each of its P positions, on the validation split.

    Returns:
        Its `trial`, `kind` and `position`; the `metric`, and of how many `texts`; its own `score`
        and `loss` (in nats); and `positions`: of each the `token` that stands there, or is nearest
        to its vector, and without it the `score` and how much more `loss` there is, with a 95%
        interval of the paired differences.

    Raises:
        DataError: the data is gone, or not what it was.
        ModelError: the model is no longer where it was, or is another one now.
    """
    config = SearchConfig.model_validate(search.config)
    split = _validation(search, config)
    prompt, metric = Prompt.from_bytes(record.content), metric_of(search)
    with progress.step("loading the model"):
        scorer = load_scorer(model_of(search), config.task, config.space.longest_prompt())
    if prompt.wording is not None and prompt.wording != scorer.wording:
        scorer = scorer.reworded(prompt.wording)
    asked = [prompt, *(prompt.without(place) for place in range(len(prompt)))]
    with (
        progress.step(f"scoring {len(split)} texts without each of {len(prompt)} positions"),
        progress.counting("texts scored", len(split)) as advance,
    ):
        log_probs = scorer.score_texts(asked, split.texts, advance)
    expected = torch.tensor(split.labels)
    losses = scorer.task.readout.surprise(log_probs, expected).numpy()
    decided = scorer.task.answers.decided
    scores = [
        metric.score(np.array(split.labels), metric.predictions(own.numpy(), decided))
        for own in log_probs
    ]
    positions = []
    for place, token in enumerate(_tokens(prompt, scorer.model), 1):
        more = losses[place] - losses[0]
        margin = _TWO_SIDES * more.std(ddof=1) / np.sqrt(len(more))
        mean = float(more.mean())
        positions.append(
            {
                "position": place,
                "token": token,
                "score": scores[place],
                "more_loss": mean,
                "interval": [mean - float(margin), mean + float(margin)],
            }
        )
    return {
        "search": search.name,
        "trial": record.number,
        "kind": prompt.kind,
        "position": prompt.position,
        "metric": metric.name,
        "texts": len(split),
        "score": scores[0],
        "loss": float(losses[0].mean()),
        "positions": positions,
    }


def _validation(search: SearchRecord, config: SearchConfig) -> Split:
    splits = config.splits(search.seed)
    if splits.fingerprint != search.versions.get("data"):
        raise DataError(
            f"search {search.name!r}: its texts are not what they were when it began; put them back"
        )
    return splits.validation


def _tokens(prompt: Prompt, model: FrozenModel) -> list[str]:
    """[P], what stands at each position, as far as it can be told."""
    if prompt.kind == "kv":
        return [""] * len(prompt)
    vectors = prompt.vectors
    nearest = iter(nearest_tokens(vectors, model.embeddings) if vectors is not None else ())
    ids = [next(nearest) if token == VIRTUAL else token for token in prompt.token_ids]
    return [str(model.tokenizer.decode([token])) for token in ids]
