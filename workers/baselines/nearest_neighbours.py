"""Nearest neighbours: the labels of the train texts whose hidden states are most like a text's."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from autoprompt.workers.baselines.baseline import Baseline, Learnt, some
from autoprompt.workers.baselines.logistic import loss
from autoprompt.workers.rows import Text
from autoprompt.workers.vote import Floats

#: Texts that are kept to look among: of more, a part.
MOST_TEXTS = 4096

#: How many neighbours may be asked.
_COUNTS = (1, 3, 5, 9, 17, 33)

#: Texts that are looked up together.
_AT_A_TIME = 1024


class NearestNeighbours(Baseline):
    """By the cosine of standardised states; layer and number by leaving out each train text in
    turn."""

    reads_states = True

    def fit(self, texts: Sequence[Text], labels: Sequence[int]) -> Learnt:
        size, seed, states = self.resources.size, self.resources.seed, self.resources.states
        places = some(len(texts), MOST_TEXTS, seed)
        own = [texts[place] for place in places]
        expected = np.array([labels[place] for place in places])
        layers = states.layers_for(own)
        layer, count = layers[-1], 1
        least = np.inf
        counts = [number for number in _COUNTS if number < len(own)]
        for one in layers if counts else ():
            vectors = _directions(states.at(own, one), *_spread(states.at(own, one)))
            near = expected[_others(vectors, counts[-1])]
            for number in counts:
                lost = loss(_voted(near[:, :number], size), expected)
                if lost < least:
                    layer, count, least = one, number, lost
        kept = states.at(own, layer)
        mean, scale = _spread(kept)
        content = save(
            {
                "layer": np.array([layer]),
                "count": np.array([count]),
                "mean": mean,
                "scale": scale,
                "vectors": _directions(kept, mean, scale).astype(np.float16),
                "labels": expected.astype(np.int32),
            }
        )
        settings = {"layer": layer, "neighbours": count}
        return Learnt(content, settings | ({"texts": len(own)} if len(own) < len(texts) else {}))

    def log_probs(self, content: bytes, texts: Sequence[Text]) -> Floats:
        from sklearn.neighbors import NearestNeighbors

        learnt = load(content)
        layer, count = int(learnt["layer"][0]), int(learnt["count"][0])
        search = NearestNeighbors(n_neighbors=count, metric="cosine", algorithm="brute")
        search.fit(learnt["vectors"].astype(np.float32))
        scores = np.empty((len(texts), self.resources.size), dtype=np.float32)
        for start in range(0, len(texts), _AT_A_TIME):
            states = self.resources.states.at(texts[start : start + _AT_A_TIME], layer)
            vectors = _directions(states, learnt["mean"], learnt["scale"])
            near = learnt["labels"][search.kneighbors(vectors, return_distance=False)]
            scores[start : start + _AT_A_TIME] = _voted(near, self.resources.size)
        return scores


def _spread(states: Floats) -> tuple[Floats, Floats]:
    """[H] each: the mean and the spread of states [B, H]."""
    return states.mean(0), states.std(0) + 1e-6


def _directions(states: Floats, mean: Floats, scale: Floats) -> Floats:
    """Standardised states [B, H], each of length 1."""
    found = (states - mean) / scale
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return (found / np.maximum(length, 1e-6)).astype(np.float32)


def _others(vectors: Floats, count: int) -> NDArray[np.intp]:
    """[B, count], of each of B vectors the places of the nearest others, the nearest first."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=count, metric="cosine", algorithm="brute").fit(vectors)
    places: NDArray[np.intp] = search.kneighbors(return_distance=False)
    return places


def _voted(near: NDArray[np.integer], size: int) -> Floats:
    """Log-probabilities [B, A] of neighbours' labels [B, K], with one vote more that is shared by
    all answers."""
    votes = np.stack([(near == label).sum(1) for label in range(size)], axis=1)
    return np.log((votes + 1 / size) / (near.shape[1] + 1)).astype(np.float32)
