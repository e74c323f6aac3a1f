"""Two searches on the same held-out texts: how far apart their scores lie, and whether by more than
chance.

Whoever looks at several searches' scores on the same texts, and then compares two of them, has
chosen among all their pairs. The log of openings knows how many searches were opened on them, so
each interval and p stands there twice: by itself, and as one of so many (Bonferroni).
"""

from collections.abc import Sequence
from math import comb
from pathlib import Path
from typing import Any, get_args

from autoprompt.evaluation.held_out_answers import Answerer, HeldOutAnswers
from autoprompt.progress import SearchProgress
from autoprompt.search_answers import answers_in, metric_of
from autoprompt.search_spaces.errors import BadInputError, SearchUnfinishedError
from autoprompt.statistics.paired_difference import paired_difference
from autoprompt.statistics.significance import SIGNIFICANT
from autoprompt.store import EvaluationRecord, SearchRecord, State, Store
from autoprompt.workers.metrics import METRICS, Metric
from autoprompt.workers.vote import check_vote


def compare(
    store: Store,
    searches: tuple[SearchRecord, SearchRecord],
    data: str | None,
    metric: str | None,
    progress: SearchProgress,
) -> dict[str, Any]:
    """The paired difference of two searches, of their best prompts and of their ensembles.

    Args:
        data: what both were evaluated on, as it was given then; their test splits without any.
        metric: another one than the searches'.

    Returns:
        The names of the `searches`; the `data`, their `fingerprint` and how many `texts`; the
        `metric`; `looks`: how many searches were opened on these texts, how many times, and how
        many pairs of them are corrected for; and of `best` and `ensemble` the scores `a` and `b`,
        their `difference` (a less b) with its 95% interval, `p` and their methods, the same
        `corrected`, on which part of the texts the two `agree`, and which search is `better`, if
        any is.

    Raises:
        BadInputError: they answered different texts, have different labels or metrics, or an older
            version kept no answers.
        SearchUnfinishedError: one of them has not finished.
    """
    first, second = searches
    for search in searches:
        if search.state != State.FINISHED:
            raise SearchUnfinishedError(
                f"search {search.name!r} is {search.state}; only finished ones can be compared: "
                f"`autoprompt resume {search.name}` brings it to its end"
            )
    if first.id == second.id:
        raise BadInputError(f"{first.name!r} and {second.name!r} are one search; name two")
    judge = _judge(searches, metric)
    openings = _same_texts(store, searches, data)
    answered = [
        _answers(store, search, opening) for search, opening in zip(searches, openings, strict=True)
    ]
    looks = store.evaluations(fingerprint=openings[0].fingerprint)
    opened = len({opening.search for opening in looks})
    pairs = comb(opened, 2)
    names = [search.name for search in searches]
    expected = answered[0].expected
    rows = {}
    with progress.step(f"comparing {len(expected)} answers"):
        for answerer in get_args(Answerer):
            a, b = (own.judged(answerer, judge) for own in answered)
            difference = paired_difference(judge, expected, a, b, pairs)
            one, other = (own.decisions(answerer) for own in answered)
            apart = judge.direction.oriented(difference.difference)
            wider = difference.corrected or difference
            rows[answerer] = {
                "a": judge.score(expected, a),
                "b": judge.score(expected, b),
                **difference.as_dict(),
                "agree": float((one == other).mean()),
                "better": names[apart < 0] if wider.p < SIGNIFICANT and apart else None,
            }
    return {
        "searches": names,
        "data": data or "test",
        "fingerprint": openings[0].fingerprint,
        "texts": len(expected),
        "metric": judge.name,
        "greater_is_better": judge.greater_is_better,
        "looks": {"searches": opened, "openings": len(looks), "pairs": pairs},
        **rows,
    }


def _judge(searches: Sequence[SearchRecord], metric: str | None) -> Metric:
    """What both are judged by, if that can be.

    Raises:
        BadInputError: they have different labels, or different metrics and none was given.
        ConfigError: their votes have no probabilities for it.
    """
    one, other = (answers_in(search).names for search in searches)
    first, second = searches
    if one != other:
        raise BadInputError(
            f"searches {first.name!r} ({', '.join(one)}) and {second.name!r} ({', '.join(other)}) "
            "have different labels; only searches with the same ones, in the same order, can be "
            "compared"
        )
    if metric is None and first.metric != second.metric:
        raise BadInputError(
            f"search {first.name!r} is judged by {first.metric}, {second.name!r} by "
            f"{second.metric}; give --metric {first.metric} or another for both"
        )
    judge = METRICS[metric] if metric else metric_of(first)
    for search in searches:
        assert search.ensemble is not None
        check_vote(search.ensemble["vote"], judge, "give --metric accuracy or another of labels")
    return judge


def _same_texts(
    store: Store, searches: Sequence[SearchRecord], data: str | None
) -> list[EvaluationRecord]:
    """The last opening of each search on the same texts.

    Raises:
        BadInputError: there are none.
    """
    by_texts = []
    for search in searches:
        opened = [
            opening
            for opening in store.evaluations(search.id)
            if opening.result and _names(opening.source, data)
        ]
        if not opened:
            missing = data or "FILE"
            raise BadInputError(
                f"search {search.name!r} has no scores on {data or 'its test split'}: "
                f"`autoprompt evaluate {search.name} --data {missing}` makes some"
            )
        by_texts.append({opening.fingerprint: opening for opening in opened})
    shared = [opening for texts, opening in by_texts[0].items() if texts and texts in by_texts[1]]
    if not shared:
        first, second = (search.name for search in searches)
        raise BadInputError(
            f"searches {first!r} and {second!r} answered different texts of {data or 'test'}: "
            "`autoprompt evaluate SEARCH --data FILE` both on the same file, and compare them with "
            "--data FILE"
        )
    last = max(shared, key=lambda opening: opening.id)
    return [own[last.fingerprint] for own in by_texts]


def _names(source: str, data: str | None) -> bool:
    """Whether an opening's source is what is asked for."""
    if data is None:
        return source == "test"
    return source != "test" and (source == data or Path(source).absolute() == Path(data).absolute())


def _answers(store: Store, search: SearchRecord, opening: EvaluationRecord) -> HeldOutAnswers:
    """What was answered at an opening.

    Raises:
        BadInputError: an older version did not keep it.
    """
    content = store.predictions(opening.id)
    if content is None:
        file = "FILE" if opening.source == "test" else opening.source
        raise BadInputError(
            f"search {search.name!r} was scored by an older version, which kept no answers: "
            f"`autoprompt evaluate {search.name} --data {file}` on the same texts, and give these "
            "as --data"
        )
    return HeldOutAnswers.unpacked(content, answers_in(search))
