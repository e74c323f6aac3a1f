"""Metrics of free text: an object array [B] of tuples of acceptable answers, and one [B] of what is
predicted. The best of a text's acceptable answers counts; one that has none is right where nothing
is predicted."""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprompt.workers.extras import demand

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def exact_match(expected: NDArray[Any], predicted: NDArray[Any]) -> float:
    """The part of the texts whose answer is an acceptable one, but for case, punctuation, articles
    and white space (SQuAD, Rajpurkar et al. 2016 and 2018)."""
    return _over_texts(lambda own, said: float(own == said), expected, predicted)


def token_f1(expected: NDArray[Any], predicted: NDArray[Any]) -> float:
    """The mean over texts of F1 of the answer's words, normalised as for `exact_match` (SQuAD,
    Rajpurkar et al. 2016 and 2018)."""
    return _over_texts(overlap, expected, predicted)


def _over_texts(
    score: Callable[[str, str], float], expected: NDArray[Any], predicted: NDArray[Any]
) -> float:
    """The mean over texts of a score of two normalised answers: that of the best acceptable one."""
    best = [
        max(score(own, normalised(said)) for own in _acceptable(golds))
        for golds, said in zip(expected, predicted, strict=True)
    ]
    return float(np.mean(best))


def _acceptable(golds: Sequence[str]) -> Sequence[str]:
    """Acceptable answers, normalised; as in SQuAD 2.0's own script, those of which nothing is left
    count only where there are no others."""
    return [own for own in map(normalised, golds) if own] or [""]


def normalised(answer: str) -> str:
    """An answer without case, punctuation and articles, a space between its words."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def overlap(expected: str, predicted: str) -> float:
    own, said = expected.split(), predicted.split()
    if not own or not said:
        return float(own == said)
    both = (Counter(own) & Counter(said)).total()
    return 2 * both / (len(own) + len(said))


def rouge1(expected: NDArray[Any], predicted: NDArray[Any]) -> float:
    """The mean over texts of F1 of single words (ROUGE-1, Lin 2004); rouge-score's, without
    stemming."""
    return _rouge("rouge1", expected, predicted)


def rouge2(expected: NDArray[Any], predicted: NDArray[Any]) -> float:
    """The mean over texts of F1 of pairs of words (ROUGE-2, Lin 2004); rouge-score's, without
    stemming."""
    return _rouge("rouge2", expected, predicted)


def rouge_l(expected: NDArray[Any], predicted: NDArray[Any]) -> float:
    """The mean over texts of F1 of the longest common subsequence of words (ROUGE-L, Lin 2004);
    rouge-score's, without stemming."""
    return _rouge("rougeL", expected, predicted)


def _rouge(kind: str, expected: NDArray[Any], predicted: NDArray[Any]) -> float:
    scorer = _rouge_scorer(kind)
    best = [
        scorer.score_multi(references(golds), said)[kind].fmeasure
        for golds, said in zip(expected, predicted, strict=True)
    ]
    return float(np.mean(best))


@cache
def _rouge_scorer(kind: str) -> Any:
    demand("rouge_score", "metrics")
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind])


def references(golds: Sequence[str]) -> Sequence[str]:
    """What an answer is compared with, one at least."""
    return golds or ("",)
