"""The rules that `ensemble.select` may name: which candidates vote, decided on validation.

A rule is given a pool and a size, and returns draws: the candidates that vote, by their places in
the pool, the best first; one that is drawn twice has two heads. Without a size it decides how many.
"""

from collections.abc import Callable, Sequence

import numpy as np

from autoprompt.ensemble.pool import Pool
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.search_spaces.registry import Registry
from autoprompt.statistics.significance import mcnemar

#: Where no size is given, the largest that is tried; and how many draws a greedy choice has.
LARGEST = 9
DRAWS = 15

#: A candidate this unlikely to be as good as the best one is not asked to vote for being different.
_WORSE = 0.05

Selection = Callable[[Pool, int | None], list[int]]


def top(pool: Pool, size: int | None) -> list[int]:
    """The best ones; without a size, of those that are not clearly worse than the best."""
    order = range(len(pool.scores)) if size else _able(pool)
    return _sized(pool, size, order[: size or LARGEST])


def diversity(pool: Pool, size: int | None) -> list[int]:
    """The best candidate, then each time the one that most often says something else than those
    before it, among the candidates that are not clearly worse than the best."""
    longest = min(size or LARGEST, len(pool.scores))
    decisions, same = pool.answers.decided(pool.log_probs), pool.answers.same
    able, order = _able(pool), [0]
    while len(order) < min(longest, len(able)):
        rest = [number for number in able if number not in order]
        apart = [1 - float(same(decisions[order], decisions[number]).mean()) for number in rest]
        order.append(rest[int(np.argmax(apart))])
    return _sized(pool, size, order)


def varied(pool: Pool, size: int | None) -> list[int]:
    """The best candidate, then each time the one that shares least with those before it: of other
    templates, label words, positions and kinds, among the candidates that are not clearly worse
    than the best; of several, the better one."""
    longest = min(size or LARGEST, len(pool.scores))
    traits = pool.traits or [(number,) for number in range(len(pool.scores))]
    able, order = _able(pool), [0]
    while len(order) < min(longest, len(able)):
        rest = [number for number in able if number not in order]
        shared = [
            sum(
                own == traits[taken][place]
                for taken in order
                for place, own in enumerate(traits[number])
            )
            for number in rest
        ]
        order.append(rest[int(np.argmin(shared))])
    return _sized(pool, size, order)


def _able(pool: Pool) -> list[int]:
    """The candidates that are not clearly worse than the best."""
    right = pool.answers.correct(pool.answers.decided(pool.log_probs), pool.labels)
    return [
        number
        for number in range(len(right))
        if right[number].sum() >= right[0].sum() or mcnemar(right[0], right[number]) >= _WORSE
    ]


def greedy(pool: Pool, size: int | None) -> list[int]:
    """Caruana et al. 2004: draw, with replacement, whichever candidate makes the vote best.

    Drawn on one half of the validation texts; how many draws to keep is decided on the other, so
    that a draw which only fitted its own half is not kept.
    """
    drawn_on, confirmed_on = pool.halves()
    sureness = np.zeros(len(pool.scores))
    if pool.answers.categorical:
        right = np.take_along_axis(pool.log_probs, pool.labels[None, :, None], axis=-1)[..., 0]
        sureness = right[:, drawn_on].mean(axis=1)
    draws: list[int] = []
    for _ in range(DRAWS):
        allowed = range(len(pool.scores))
        if size is not None and len(set(draws)) == size:
            allowed = sorted(set(draws))  # type: ignore[assignment]
        # Votes tie often on few texts; the surer candidate is the better bet.
        draws.append(
            max(allowed, key=lambda one: (pool.judged([*draws, one], drawn_on), sureness[one]))
        )
    kept = [draws[:count] for count in range(1, len(draws) + 1)]
    return max(kept, key=lambda some: (pool.judged(some, confirmed_on), len(some)))


def _sized(pool: Pool, size: int | None, order: Sequence[int]) -> list[int]:
    """So many of an order; without a size, as many as score no less than the best candidate alone.
    What one such size scores above another is noise, and more votes vary less."""
    if size:
        return list(order)
    alone = pool.judged([0])
    fewer = (list(order[:count]) for count in range(len(order), 0, -1))
    return next(draws for draws in fewer if pool.judged(draws) >= alone)


SELECTIONS: Registry[Selection] = Registry(
    "selection",
    {"top": top, "greedy": greedy, "diversity": diversity, "varied": varied},
    group="autoprompt.selections",
)


def demand_selection(name: str, source: str) -> None:
    """See that a configuration's selection is there.

    Raises:
        ConfigError: it is not.
    """
    try:
        SELECTIONS[name]
    except ConfigError as error:
        raise ConfigError(f"{source}: ensemble.select: {error}") from error
