"""The dtype of a search's model, fixed before the search's row is written, and stored in it.

What is measured may come out otherwise the next time. It is measured once, therefore: workers, a
resume, predictions and evaluations take what is stored.
"""

from dataclasses import replace

from autoprompt.preparation.prepare import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.workers.adapter import resolve
from autoprompt.workers.dtype_choice import dtype_by_flags, is_quantized, measured_rates
from autoprompt.workers.model_config import read_config
from autoprompt.workers.model_files import ModelSpec


def with_pinned_dtype(prepared: Prepared, gpus: float, progress: SearchProgress) -> Prepared:
    """A new search with what `dtype: auto` stands for on its workers' processors.

    A dtype that was asked for stays, and so does `auto` on GPUs, where it is a rule that measures
    nothing.

    Args:
        gpus: that each worker is given.
    """
    model = prepared.job.model
    if model.dtype != "auto" or not on_cpu(model, gpus):
        return prepared
    config = read_config(resolve(model), model)
    if is_quantized(model, config):
        dtype = why = "float32"
    else:
        rates = measured_rates(config, prepared.config.search.cpus_per_worker)
        dtype, why = rates.choice, str(rates)
    progress.say(f"dtype: {why}")
    pinned = _with_dtype(prepared, dtype)
    return replace(pinned, versions=pinned.versions | {"dtype": why})


def with_dtype_before(prepared: Prepared, gpus: float) -> Prepared:
    """A resumed search; one that stored `auto` for a CPU goes on by its own version's rule."""
    model = prepared.job.model
    if model.dtype != "auto" or not on_cpu(model, gpus):
        return prepared
    return _with_dtype(prepared, dtype_by_flags())


def on_cpu(model: ModelSpec, gpus: float) -> bool:
    """Whether workers that are given so many GPUs hold a model on a processor."""
    return model.device == "cpu" or (model.device == "auto" and not gpus)


def _with_dtype(prepared: Prepared, dtype: str) -> Prepared:
    model = prepared.job.model.model_copy(update={"dtype": dtype})
    return replace(
        prepared,
        config=prepared.config.with_dtype(dtype),
        job=replace(prepared.job, model=model),
    )
