"""What a search keeps of its texts, fixed before its row is written, and stored in it with what a
trial will cost.

Which texts are kept where follows from their sizes. Whether files are worth reading on a CPU is
measured here, once, and only where some texts would be read from them in the course of a trial:
where computing is faster, the stored configuration has no room on disk, and a resume takes that. A
text that is read and one that is computed beside others may differ in the last bits, so what timing
says must not change in between. A GPU's workers measure by themselves: they promise no bytes.
"""

import math
from dataclasses import dataclass, replace

from autoprompt.preparation.prepare import Prepared
from autoprompt.preparation.trial_tokens import trial_tokens
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.dimensions import values_of
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.shown_sizes import shown_size
from autoprompt.workers.adapter import resolve
from autoprompt.workers.dtype_choice import encoding_rate
from autoprompt.workers.model_config import read_config
from autoprompt.workers.reading_rate import reading_rate
from autoprompt.workers.text_places import Places, places

_ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class KeptTexts:
    """Where a search's texts are kept, those first that are used most.

    Attributes:
        places: of B texts, indices into the following.
        tokens: [B], of each text with what is kept of the template behind it.
        from_train: [B], whether it is a train text.
        token_bytes: what the states of one token take.
    """

    places: Places
    tokens: list[int]
    from_train: list[bool]
    token_bytes: int

    @property
    def anew(self) -> tuple[int, int]:
        """Tokens that are computed each time, of train and of validation texts."""
        train, validation = (
            sum(self.tokens[i] for i in self.places.nowhere if self.from_train[i] == of_train)
            for of_train in (True, False)
        )
        return train, validation

    def __str__(self) -> str:
        """Where they are, and how large."""
        at = self.places
        if not at.on_disk and not at.nowhere:
            shared = ", and in files for other workers and later searches" if at.shares else ""
            return f"{self._told(at.at_hand)} all in memory{shared}"
        parts = (
            (at.at_hand, "in memory"),
            (at.on_disk, "read from disk"),
            (at.nowhere, "computed each time"),
        )
        return ", ".join(f"{self._told(own)} {where}" for own, where in parts if own)

    def bytes_of(self, indices: list[int]) -> int:
        """What the states of some texts take."""
        return sum(self.tokens[index] for index in indices) * self.token_bytes

    def _told(self, indices: list[int]) -> str:
        return f"{len(indices):,} ({shown_size(self.bytes_of(indices))})"


def with_kept_texts(prepared: Prepared, on_cpu: bool, progress: SearchProgress) -> Prepared:
    """A new search that says, in its row too, what it keeps of its texts and what a trial costs.

    Args:
        on_cpu: whether its workers compute on one.

    Raises:
        BadInputError: memory for the texts does not hold those of one batch.
    """
    texts, kept = prepared.texts, kept_texts(prepared)
    lengths = texts.train + texts.validation
    notes = []
    if kept is not None:
        _check_batch(prepared, kept)
    if kept is not None and kept.places.on_disk and on_cpu:
        reads, computes = _rates(prepared, kept.token_bytes)
        if reads < computes:
            prepared = _without_files(prepared)
            kept = kept_texts(prepared)
            notes.append(
                f"none on disk, which reads {shown_size(reads)} a second where "
                f"{shown_size(computes)} are computed"
            )
    beyond = sum(length > texts.fitting for length in lengths)
    if kept is not None and beyond:
        notes.append(f"{beyond:,} do not fit the model's window")
    where = str(kept) if kept is not None else "nothing is kept of them"
    told = "; ".join([f"{len(lengths):,} of {sum(lengths):,} tokens: {where}", *notes])
    anew = kept.anew if kept is not None else (0, 0)
    costs = trial_tokens(prepared.config.space, texts, *anew)
    cost = "; ".join(
        f"{kind} {_span(own.step)} tokens a {'round' if kind == 'hard' else 'step'} and "
        f"{_span(own.judging)} a judging by all {len(texts.validation):,}"
        for kind, own in costs.items()
    )
    progress.say(f"texts: {told}")
    progress.say(f"a trial: {cost}")
    return replace(prepared, versions=prepared.versions | {"texts": told, "trial": cost})


def kept_texts(prepared: Prepared) -> KeptTexts | None:
    """Where the workers of a search will keep its texts; None where nothing is kept of them, or
    the model's config does not say how large that is."""
    texts, job = prepared.texts, prepared.job
    shape = prepared.row_shape if texts.family == "causal" else (prepared.hidden_size,)
    if not texts.reusable or shape is None:
        return None
    # With a prompt behind the template in the space, the template is kept with every text.
    behind = texts.tail if texts.family == "seq2seq" or "end" in texts.reusable else 0
    token_bytes = math.prod(shape) * _ITEM_BYTES.get(job.model.dtype, 2)
    validation = [texts.validation[place] for place in job.blocks.order] or texts.validation
    used = [(length, False) for length in validation] + [(length, True) for length in texts.train]
    used = [(length, train) for length, train in used if length <= texts.fitting]
    tokens = [length + behind for length, _ in used]
    sizes = [count * token_bytes for count in tokens]
    found = places(sizes, job.cache.bytes_at_hand, job.cache.bytes_on_disk)
    return KeptTexts(found, tokens, [train for _, train in used], token_bytes)


def _check_batch(prepared: Prepared, kept: KeptTexts) -> None:
    """Refuse less memory for texts than the largest batch may take: it would not bound anything."""
    config = prepared.config
    count = max(max(values_of(part.batch_size)) for part in config.space.parts)
    count = min(count, len(prepared.texts.train))
    train = [own for own, train in zip(kept.tokens, kept.from_train, strict=True) if train]
    size = sum(sorted(train)[-count:]) * kept.token_bytes
    if size > prepared.job.cache.bytes_at_hand:
        least = math.ceil(1000 * size / (1 << 30)) / 1000
        raise BadInputError(
            f"{config.source}: search.cache_gib_per_worker: a batch of {count} texts may take "
            f"{shown_size(size)}; allow {least:g} or more, or a smaller batch_size"
        )


def _rates(prepared: Prepared, token_bytes: int) -> tuple[float, float]:
    """Bytes of states a second that files are read at, and that a worker computes."""
    job = prepared.job
    config = read_config(resolve(job.model), job.model)
    threads = prepared.config.search.cpus_per_worker
    tokens = encoding_rate(config, job.model.dtype, threads)
    return reading_rate(job.cache.files_folder), tokens * token_bytes


def _without_files(prepared: Prepared) -> Prepared:
    cache = replace(prepared.job.cache, bytes_on_disk=0)
    return replace(
        prepared,
        config=prepared.config.without_files(),
        job=replace(prepared.job, cache=cache),
    )


def _span(ends: tuple[int, int]) -> str:
    low, high = ends
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
