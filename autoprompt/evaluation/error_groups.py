"""Which texts a search gets wrong: groups of them by label, length, word and cluster, each with the
part of its texts that is wrong.

A group is tested on whether more of it is wrong than chance would put there (the hypergeometric
test, that is Fisher's of one side), and p corrected for how many groups of its sort there are
(Benjamini and Hochberg 1995). For words this asks in how many texts they stand, not how often:
Monroe et al. (2008) compare running texts of two authors, here the text is what is right or wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from autoprompt.statistics.intervals import Estimate, estimate_part
from autoprompt.statistics.significance import SIGNIFICANT
from autoprompt.workers.metric_functions import Floats, Labels

Wrong = NDArray[np.bool_]

#: The fewest texts that a word stands in, and the most words that are named.
_WORD_TEXTS, _WORDS = 5, 15

#: Bins of length, and clusters, at most; the fewest texts that one of them has on the mean; and the
#: words that a cluster is told by.
_BINS, _BIN_TEXTS = 5, 20
_CLUSTERS, _CLUSTER_TEXTS, _CLUSTER_WORDS = 8, 40, 5

#: Directions that are kept of texts' vectors before they are clustered.
_DIRECTIONS = 50


@dataclass(frozen=True)
class Group:
    """Texts with something in common.

    Attributes:
        name: what.
        texts, wrong: how many, and how many of them are wrong.
        error: the part that is wrong, with its 95% interval.
        p: of so many being wrong by chance, corrected.
        note: more of them: what they were mostly taken for, or words that stand out.
    """

    name: str
    texts: int
    wrong: int
    error: Estimate
    p: float
    note: str = ""


def by_label(expected: Labels, decided: Labels, names: Sequence[str]) -> list[Group]:
    """By what is right, most wrong first.

    Args:
        expected, decided: [B].
        names: [L].
    """
    labels = [label for label in range(len(names)) if (expected == label).any()]
    notes = []
    for label in labels:
        instead = decided[(expected == label) & (decided != label)]
        most = int(np.bincount(instead).argmax()) if len(instead) else None
        notes.append("" if most is None else f"mostly taken for {names[most]}")
    held = np.stack([expected == label for label in labels])
    return _groups([names[label] for label in labels], held, expected != decided, notes)


def by_length(texts: Sequence[str], wrong: Wrong) -> list[Group]:
    """By characters, in bins of about as many texts each, shortest first; none of too few texts.

    Args:
        wrong: [B].
    """
    lengths = np.array([len(text) for text in texts])
    bins = min(_BINS, len(texts) // _BIN_TEXTS)
    if bins < 2:
        return []
    parts = np.arange(1, bins) / bins
    edges = np.unique(np.quantile(lengths, parts, method="higher"))
    places = np.searchsorted(edges, lengths, side="right")
    filled = np.unique(places)
    if len(filled) < 2:
        return []
    held = places == filled[:, None]
    names = [f"{lengths[own].min()} to {lengths[own].max()} characters" for own in held]
    return sorted(_groups(names, held, wrong), key=lambda group: names.index(group.name))


def by_word(texts: Sequence[str], wrong: Wrong) -> list[Group]:
    """The words that more wrong texts hold than chance would explain, clearest first; none where
    there are no such words."""
    words, counts = _counted(texts, _WORD_TEXTS)
    if not words:
        return []
    groups = _groups(words, (counts > 0).toarray().T, wrong)
    standing = [group for group in groups if group.p < SIGNIFICANT]
    return sorted(standing, key=lambda group: (group.p, -group.wrong, group.name))[:_WORDS]


def by_cluster(
    texts: Sequence[str], wrong: Wrong, states: Floats | None = None, *, told: bool = True
) -> list[Group]:
    """Of texts that are alike, most wrong first; none of too few texts.

    Args:
        states: [B, H], a model's hidden states of them; without any, texts are alike that share
            words (TF-IDF, Salton and Buckley 1988).
        told: whether a cluster's note names the words that stand out in it.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.preprocessing import normalize

    clusters = min(_CLUSTERS, len(texts) // _CLUSTER_TEXTS)
    words, counts = _counted(texts, 2)
    if clusters < 2 or len(words) <= clusters:
        return []
    weights = TfidfTransformer(sublinear_tf=True)
    weighed = weights.fit_transform(counts)
    vectors = weighed if states is None else states - states.mean(axis=0)
    directions = min(_DIRECTIONS, vectors.shape[1] - 1)
    reduced = normalize(TruncatedSVD(directions, random_state=0).fit_transform(vectors))
    places = KMeans(clusters, n_init=4, random_state=0).fit_predict(reduced)
    held = places == np.unique(places)[:, None]
    mean = np.asarray(weighed.mean(axis=0))[0]
    notes = []
    for own in held:
        # Rare words tell a cluster from others better than those that are everywhere.
        more = (np.asarray(weighed[own].mean(axis=0))[0] - mean) * weights.idf_
        first = [words[word] for word in np.argsort(-more)[:_CLUSTER_WORDS]]
        notes.append(", ".join(first) if told else "")
    return _groups([f"cluster {number + 1}" for number in range(len(held))], held, wrong, notes)


def _counted(texts: Sequence[str], fewest: int) -> tuple[list[str], Any]:
    """The words that stand in so many texts or more, and how often each text [B] has each, sparse;
    no words where there are none."""
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(token_pattern=r"\w(?:[\w'’]*\w)?")
    try:
        counts = counter.fit_transform(texts)
    except ValueError:  # not one word
        return [], None
    kept = np.flatnonzero(counts.getnnz(axis=0) >= fewest)
    words = counter.get_feature_names_out()[kept]
    return [str(word) for word in words], counts[:, kept]


def _groups(
    names: Sequence[str], held: NDArray[np.bool_], wrong: Wrong, notes: Sequence[str] = ()
) -> list[Group]:
    """Groups, most wrong first.

    Args:
        held: [groups, B], whether a group has a text.
    """
    texts, errors = held.sum(axis=1), (held & wrong).sum(axis=1)
    chance = scipy.stats.hypergeom.sf(errors - 1, len(wrong), wrong.sum(), texts)
    corrected = scipy.stats.false_discovery_control(chance)
    groups = [
        Group(name, int(own), int(errors_), estimate_part(int(errors_), int(own)), float(p), note)
        for name, own, errors_, p, note in zip(
            names, texts, errors, corrected, notes or [""] * len(names), strict=True
        )
    ]
    return sorted(groups, key=lambda group: (-group.error.score, group.p))
