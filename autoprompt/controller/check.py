"""A search's configuration held against its data, model and store, and what it will cost; nothing
is started or stored."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from autoprompt.callbacks import named_callbacks
from autoprompt.config import SearchConfig
from autoprompt.controller.demands import demand_named
from autoprompt.controller.in_process import InProcessExecutor
from autoprompt.controller.pinned_population import with_pinned_population
from autoprompt.controller.search_cost import SearchCost, search_cost
from autoprompt.preparation.kept_texts import KeptTexts, with_kept_texts
from autoprompt.preparation.pinned_dtype import on_cpu, with_pinned_dtype
from autoprompt.preparation.prepare import Prepared, prepare
from autoprompt.preparation.warm_start import with_earlier
from autoprompt.progress import SearchProgress
from autoprompt.store import check_store
from autoprompt.workers.answers import answers_of


def check(config: SearchConfig, url: str, progress: SearchProgress) -> dict[str, Any]:
    """All that a search would refuse is refused; the rest is measured here, in this process, for a
    few seconds, whatever cluster the search will run on.

    Args:
        url: of the store.

    Returns:
        splits, tokens, texts, memory, seconds and search; see docs/python-api.md.

    Raises:
        BadInputError: something in the configuration, data or model will not do.
    """
    demand_named(config)
    named_callbacks(config.callbacks, config.source)
    check_store(url)
    prepared = with_earlier(prepare(config, progress), url, progress)
    executor = InProcessExecutor(config.search.cpus_per_worker, progress)
    prepared = with_pinned_dtype(prepared, executor.gpus, progress)
    prepared = with_kept_texts(prepared, on_cpu(prepared.job.model, executor.gpus), progress)
    prepared = with_pinned_population(prepared, executor, progress)
    spec = prepared.config.search
    workers = 1 if spec.workers == "auto" else max(1, spec.workers)
    cost = search_cost(prepared, executor, workers, progress)
    return {
        "config": config.source,
        "model": config.model.path,
        "splits": _splits(prepared),
        "tokens": _tokens(prepared, cost),
        "texts": _texts(prepared, cost.kept),
        "memory": _memory(cost),
        "seconds": {
            "device": cost.times.device,
            "dtype": cost.times.dtype,
            "slower": cost.times.slower,
            "load": cost.times.load,
            "texts": cost.texts,
            "trial": {
                kind: {name: value for name, value in asdict(own).items() if name != "tokens"}
                for kind, own in cost.kinds.items()
            },
        },
        "search": {
            "trials": spec.trials,
            "workers": spec.workers,
            "trials_per_worker": cost.together,
            "seconds": cost.trials,
            "time_limit": spec.time_limit,
        },
    }


def _splits(prepared: Prepared) -> dict[str, Any]:
    """How many texts each split has, and of each label where one is right."""
    splits, names = prepared.splits, list(prepared.config.task.label_words)
    found: dict[str, Any] = {}
    for name, size in splits.sizes.items():
        labels = getattr(splits, name).labels
        counts = Counter(label for label in labels if isinstance(label, int))
        categorical = answers_of(prepared.config.task).categorical and names
        own = {text: counts[place] for place, text in enumerate(names)} if categorical else None
        found[name] = {"texts": size, "labels": own}
    return found | {"truncated": prepared.truncated}


def _tokens(prepared: Prepared, cost: SearchCost) -> dict[str, Any]:
    """What the model reads: of a text, of the template beside it, of a prompt, in a trial."""
    texts = prepared.texts
    lengths = texts.train + texts.validation
    return {
        "text": sum(lengths) / len(lengths) - texts.before,
        "longest_text": max(lengths) - texts.before,
        "template": texts.before + texts.tail,
        "longest_prompt": prepared.job.longest_prompt,
        "trial": {kind: own.tokens for kind, own in cost.kinds.items()},
    }


def _texts(prepared: Prepared, kept: KeptTexts | None) -> dict[str, Any]:
    """Where the states of the texts will be, in bytes; None of the sizes where none are kept."""
    told = {"told": prepared.versions["texts"]}
    if kept is None:
        return {"in_memory": None, "on_disk": None, "computed_each_time": None} | told
    at = kept.places
    names = {"in_memory": at.at_hand, "on_disk": at.on_disk, "computed_each_time": at.nowhere}
    return {name: kept.bytes_of(indices) for name, indices in names.items()} | told


def _memory(cost: SearchCost) -> dict[str, Any]:
    """Bytes that a worker takes."""
    kept = cost.kept
    texts = kept.bytes_of(kept.places.at_hand) if kept is not None else 0
    training = cost.times.working_bytes
    return {
        "model": cost.times.model_bytes,
        "texts": texts,
        "training": training,
        "worker": cost.times.model_bytes + texts + (training or 0),
    }
