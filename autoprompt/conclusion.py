"""How a search concludes: the ensemble is chosen on validation, then the test split is opened."""

from collections.abc import Sequence

import numpy as np
import ray
from safetensors.numpy import load as load_arrays

from autoprompt.cluster import Cluster
from autoprompt.ensemble import Floats, cast_votes, choose
from autoprompt.intervals import estimate, estimate_mean
from autoprompt.preparation import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.store import PromptRecord, SearchRecord, Store
from autoprompt.versions import user_and_host
from search_spaces.errors import SearchFailedError
from workers.prompt import Prompt
from workers.task import predictions
from workers.trial import score_texts


def conclude(
    prepared: Prepared, store: Store, search: SearchRecord, here: Cluster, progress: SearchProgress
) -> None:
    """Choose the ensemble on validation, then open the test split, once."""
    counts = store.counts(search.id)
    ended = sum(counts.values()) - counts["running"]
    if counts["complete"] + counts["pruned"] == 0:
        failures = [trial for trial in store.trials(search.id) if trial.error]
        why = f"; trial {failures[0].number}: {failures[0].error}" if failures else ""
        raise SearchFailedError(f"every trial of search {search.name!r} failed{why}")
    if ended < prepared.config.search.trials:
        raise KeyboardInterrupt(f"stopped after {ended} trials")
    spec, labels = prepared.config.ensemble, prepared.splits.validation.labels
    chosen = choose(
        store.prompts(search.id), labels, prepared.config.task.metric, spec.size, spec.vote
    )
    members = chosen.members
    store.update_search(
        search.id,
        ensemble={
            "members": [member.number for member in members],
            "vote": chosen.vote,
            "validation": chosen.validation,
        },
    )
    opening = store.open_evaluation(
        search.id,
        source="test",
        fingerprint=prepared.splits.test.fingerprint,
        purpose="search",
        opened_by=user_and_host(),
    )
    with progress.step(f"scoring {len(prepared.splits.test)} test texts"):
        log_probs = _score_test(prepared, members, here)
    store.record_evaluation(search.id, opening, _test_table(prepared, members, log_probs))


def _score_test(prepared: Prepared, members: Sequence[PromptRecord], here: Cluster) -> Floats:
    """Log-probabilities [1 + N, B, L] of the test texts: without a prompt first, then each member.

    The texts are shared out among as many workers as the search had.
    """
    job, texts = prepared.job, prepared.splits.test.texts
    prompts = [Prompt("").to_bytes(), *(member.content for member in members)]
    remote = ray.remote(num_cpus=here.cpus, num_gpus=here.gpus)(score_texts)
    parts = np.array_split(np.arange(len(texts)), prepared.config.search.workers)
    shared = ray.put(prompts)
    waiting = [
        remote.remote(
            job.model, job.task, job.longest_prompt, shared, [texts[place] for place in part]
        )
        for part in parts
        if len(part)
    ]
    found = [load_arrays(content)["log_probs"] for content in ray.get(waiting)]
    return np.concatenate(found, axis=1)


def _test_table(
    prepared: Prepared, members: Sequence[PromptRecord], log_probs: Floats
) -> dict[str, object]:
    """Scores on the test split with their intervals, as Lester et al. 2021 report them (table 3):
    the best single prompt, the members' mean, and the ensemble; and the template alone."""
    config = prepared.config
    metric = config.task.metric
    expected = np.array(prepared.splits.test.labels)
    alone, voters = log_probs[0], log_probs[1:]
    single = [predictions(each) for each in voters]
    ballot = cast_votes(voters, config.ensemble.vote, [member.score for member in members])
    return {
        "texts": len(expected),
        "no_prompt": estimate(metric, expected, predictions(alone)).as_dict(),
        "best": estimate(metric, expected, single[0]).as_dict(),
        "mean": estimate_mean(metric, expected, single).as_dict(),
        "ensemble": estimate(metric, expected, ballot.labels).as_dict(),
        "members": [estimate(metric, expected, each).as_dict() for each in single],
    }
