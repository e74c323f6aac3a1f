"""Which parts of a prompt do the work: its score on validation with each position left out in turn,
and with the nearest tokens in the place of its vectors.

That is as far as an explanation of trained numbers can honestly go. What a position says is not in
it, and two that do the same work each look idle, since the other is there. The tokens nearest to
vectors can be anything while the vectors do the task (Khashabi et al. 2022), so they are scored as
words, too.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from autoprompt.config import SearchConfig
from autoprompt.evaluation.own_texts import splits_of
from autoprompt.progress import SearchProgress
from autoprompt.search_answers import metric_of
from autoprompt.search_model import model_of
from autoprompt.store import PromptRecord, SearchRecord
from autoprompt.workers.embedding_table import nearest
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.metrics import Metric
from autoprompt.workers.prompt import VIRTUAL, Prompt
from autoprompt.workers.rows import as_text
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.scoring import Scorer

#: Standard errors to either side of a mean that hold 95% of a normal distribution.
_TWO_SIDES = 1.96

#: Tokens that are named beside a vector, and texts beside a position that decides them.
_NEAREST, _SHOWN_TEXTS = 3, 3

#: Words that score so much less carry the score.
_CARRIED = 0.02


def left_out(
    search: SearchRecord,
    record: PromptRecord,
    progress: SearchProgress,
    scorer: Scorer | None = None,
) -> dict[str, Any]:
    """A stored prompt, whole and without each of its P positions, on the validation split.

    Args:
        scorer: of the search's own wording, where one is loaded.

    Returns:
        Its `trial`, `kind` and `position`; the `metric`, and of how many `texts`; its own `score`
        and `loss` (in nats); and `positions`: of each the `token` that stands there, or is nearest
        to its vector (`nearest` has some with their cosines), and without it the `score`, how many
        texts are decided otherwise (`flips`, and the first of them), and how much more `loss` there
        is, with a 95% interval of the paired differences; `as_words`, of vectors: their nearest
        tokens as a hard prompt, its score, and on which part of the texts the two agree; and a
        `warning` where these do not carry the score.

    Raises:
        DataError: the data is gone, or not what it was.
        ModelError: the model is no longer where it was, or is another one now.
    """
    split = splits_of(search).validation
    prompt, metric = Prompt.from_bytes(record.content), metric_of(search)
    scorer = scorer or scorer_of(search, progress)
    if prompt.wording is not None and prompt.wording != scorer.wording:
        scorer = scorer.reworded(prompt.wording)
    asked = [prompt, *(prompt.without(place) for place in range(len(prompt)))]
    as_words = _as_words(prompt, scorer.model)
    if as_words is not None:
        asked.append(as_words)
    with (
        progress.step(f"scoring {len(split)} texts without each of {len(prompt)} positions"),
        progress.counting("texts scored", len(split)) as advance,
    ):
        log_probs = scorer.score_texts(asked, split.texts, advance, rights=split.labels)
    answers = scorer.task.answers
    expected = scorer.task.readout.targets(split.labels)
    losses = scorer.task.readout.surprise(log_probs, expected).numpy()
    right, decided = answers.right(split.labels), answers.decided
    scores = [metric.score(right, metric.predictions(own.numpy(), decided)) for own in log_probs]
    chosen = np.stack([decided(own.numpy()) for own in log_probs])
    positions = []
    for place, standing in enumerate(_standing(prompt, scorer.model), 1):
        flips = np.flatnonzero(~answers.same(chosen[place], chosen[0]))
        more = losses[place] - losses[0]
        margin = _TWO_SIDES * more.std(ddof=1) / np.sqrt(len(more))
        mean = float(more.mean())
        positions.append(
            {
                "position": place,
                **standing,
                "score": scores[place],
                "flips": len(flips),
                "flipped": [as_text(split.texts[at]) for at in flips[:_SHOWN_TEXTS]],
                "more_loss": mean,
                "interval": [mean - float(margin), mean + float(margin)],
            }
        )
    words = None
    if as_words is not None:
        words = {
            "text": as_words.text,
            "score": scores[-1],
            "loss": float(losses[-1].mean()),
            "agrees": float((chosen[-1] == chosen[0]).mean()),
        }
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
        "as_words": words,
        "warning": _warning(words, scores[0], metric),
    }


def _warning(words: dict[str, Any] | None, score: float, metric: Metric) -> str | None:
    """What is wrong with reading a prompt's nearest tokens as what it says."""
    if words is None:
        return None
    behind = metric.direction.oriented(score) - metric.direction.oriented(words["score"])
    if behind <= _CARRIED:
        return None
    return (
        f"the nearest words do not carry the score: asked as words the prompt scores "
        f"{words['score']:.4f} in the place of {score:.4f}; they name its vectors, and say nothing "
        "of why they work"
    )


def scorer_of(search: SearchRecord, progress: SearchProgress) -> Scorer:
    """A search's model, loaded, with its own wording.

    Raises:
        ModelError: it is no longer where it was, or is another one now.
    """
    config = SearchConfig.model_validate(search.config)
    with progress.step("loading the model"):
        return load_scorer(model_of(search), config.task, config.space.longest_prompt())


def _standing(prompt: Prompt, model: FrozenModel) -> list[dict[str, Any]]:
    """[P], what stands at each position, as far as it can be told: a token; or those nearest to a
    vector, with their cosines."""
    if prompt.kind == "kv":
        return [{"token": "", "nearest": []}] * len(prompt)
    decode = model.tokenizer.decode
    found: list[dict[str, Any]] = []
    near = iter(_nearest(prompt, model))
    for token in prompt.token_ids:
        if token != VIRTUAL:
            found.append({"token": str(decode([token])), "nearest": []})
            continue
        named = [{"token": str(decode([own])), "cosine": cosine} for own, cosine in next(near)]
        found.append({"token": named[0]["token"], "nearest": named})
    return found


def _nearest(prompt: Prompt, model: FrozenModel) -> list[list[tuple[int, float]]]:
    """For each vector the tokens nearest to it, with their cosines."""
    if prompt.vectors is None:
        return []
    tokens, cosines = nearest(prompt.vectors, model.embeddings, _NEAREST)
    return [
        list(zip(own, near, strict=True))
        for own, near in zip(tokens.tolist(), cosines.tolist(), strict=True)
    ]


def _as_words(prompt: Prompt, model: FrozenModel) -> Prompt | None:
    """The prompt with the nearest token in the place of each vector; None where it has none."""
    if prompt.vectors is None:
        return None
    near = iter(_nearest(prompt, model))
    ids = tuple(next(near)[0][0] if token == VIRTUAL else token for token in prompt.token_ids)
    text = str(model.tokenizer.decode(ids))
    return replace(prompt, text=text, token_ids=ids, vectors=None)
