"""A search's hard prompts on another model: words travel, as text, where vectors cannot."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from autoprompt.config import SearchConfig
from autoprompt.progress import SearchProgress
from autoprompt.search_answers import answers_in, metric_of
from autoprompt.search_model import model_of
from autoprompt.search_spaces.errors import BadInputError, ConfigError, DataError
from autoprompt.statistics.intervals import estimate
from autoprompt.store import PromptRecord, SearchRecord
from autoprompt.workers.data import Split, read_labelled
from autoprompt.workers.model_config import family_of
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import read_tokenizer
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.question import ids_of
from autoprompt.workers.score_texts import score_worded
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.wording import Wording

#: Prompts that are scored: the best so many.
MOST = 10


def on_other_model(
    search: SearchRecord,
    records: Sequence[PromptRecord],
    model: str,
    data: str | None,
    progress: SearchProgress,
) -> dict[str, Any]:
    """The best hard prompts of a search on another model, beside that model's zero-shot.

    Their words are tokenized anew. A calibration was measured on the search's own model, so prompts
    are asked without any.

    Args:
        records: prompts of the search, best first.
        model: a Hub id, or a folder.
        data: labelled texts; the search's own validation split where none are given.

    Returns:
        The `model`, the `texts`, the `metric`; `no_prompt`, the template alone, as an estimate with
        its 95% interval; and `prompts`: of each its `trial`, its `prompt`, its score `here` on the
        search's own model and validation split, and its estimate `there`.

    Raises:
        BadInputError: the search has found no hard prompt, or its question does not suit the model.
        DataError, ModelError: the texts or a model cannot be read, or are not what they were.
    """
    config = SearchConfig.model_validate(search.config)
    answers, metric = answers_in(search), metric_of(search)
    own = [(record, Prompt.from_bytes(record.content)) for record in records]
    hard = [
        (record, prompt)
        for record, prompt in own
        if prompt.kind == "hard" and prompt.position != "decoder"
    ][:MOST]
    if not hard:
        raise BadInputError(
            f"search {search.name!r} has found no hard prompt, and vectors mean something to their "
            "own model only"
        )
    split = _texts(search, config, data)
    tokenizer, _ = read_tokenizer(model_of(search))
    spec = ModelSpec(path=model)
    there, there_config = read_tokenizer(spec)
    with progress.step(f"loading {model}"):
        try:
            scorer = load_scorer(spec, config.task, config.space.longest_prompt())
        except ConfigError as error:
            family = family_of(there_config) or "causal"
            raise BadInputError(
                f"{model}, a {family} model, cannot be asked this search's question: {error}"
            ) from None
    otherwise = Wording.of(config.task)
    prompts = [Prompt(""), *(_anew(prompt, tokenizer, there, otherwise) for _, prompt in hard)]
    with (
        progress.step(f"scoring {len(split)} texts"),
        progress.counting("texts scored", len(split)) as advance,
    ):
        scored = score_worded(scorer, prompts, split.texts, advance).numpy()
    expected = answers.right(split.labels)
    found = [
        estimate(metric, expected, metric.predictions(each, answers.decided)).as_dict()
        for each in scored
    ]
    return {
        "search": search.name,
        "model": model,
        "data": data or "validation",
        "texts": len(split),
        "metric": metric.name,
        "no_prompt": found[0],
        "prompts": [
            {
                "trial": record.number,
                "prompt": prompt.text,
                "here": record.score,
                "there": estimated,
            }
            for (record, prompt), estimated in zip(hard, found[1:], strict=True)
        ],
    }


def _texts(search: SearchRecord, config: SearchConfig, data: str | None) -> Split:
    if data is not None:
        reader = config.data.reader(config.columns_in(), answers_in(search))
        return read_labelled(data, reader, config.data.subset)
    splits = config.splits(search.seed)
    if splits.fingerprint != search.versions.get("data"):
        raise DataError(
            f"search {search.name!r}: its texts are not what they were when it began; put them "
            "back, or name others with --data"
        )
    return splits.validation


def _anew(prompt: Prompt, tokenizer: Any, other: Any, otherwise: Wording) -> Prompt:
    """A hard prompt's words as the tokens of another tokenizer."""
    front, behind = (ids_of(tokenizer.decode(ids), other) if ids else () for ids in prompt.sides)
    return replace(
        prompt,
        token_ids=(*front, *behind),
        front=len(front) if prompt.position == "both" else 0,
        prior=(),
        wording=prompt.wording or otherwise,
    )
