"""A bag of words: TF-IDF of words and pairs of words, and logistic regression on it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from autoprompt.search_spaces.errors import BadInputError
from autoprompt.workers.baselines.baseline import Baseline, Learnt
from autoprompt.workers.baselines.logistic import (
    NORMALISED,
    Linear,
    best_strength,
    fitted,
    folds,
)
from autoprompt.workers.rows import Text, as_text
from autoprompt.workers.vote import Floats

#: Words and pairs that are counted, the most frequent ones.
_MOST_WORDS = 20_000


class BagOfWords(Baseline):
    """It knows no language model at all. No term has a line break, so they are kept as lines."""

    def fit(self, texts: Sequence[Text], labels: Sequence[int]) -> Learnt:
        size = self.resources.size
        vectorizer = _vectorizer(max_features=_MOST_WORDS)
        try:
            features = vectorizer.fit_transform([as_text(text) for text in texts])
        except ValueError:  # scikit-learn's for an empty vocabulary
            raise BadInputError("the train texts have no words") from None
        parts = folds(labels, size, self.resources.seed)
        strength = best_strength(features, labels, size, NORMALISED, parts)
        linear = fitted(features, labels, size, strength)
        words = list(vectorizer.get_feature_names_out())
        content = save(
            {
                "words": np.frombuffer("\n".join(words).encode(), dtype=np.uint8),
                "idf": vectorizer.idf_.astype(np.float32),
                "weight": linear.weight,
                "bias": linear.bias,
            }
        )
        return Learnt(content, {"C": strength, "words": len(words)})

    def log_probs(self, content: bytes, texts: Sequence[Text]) -> Floats:
        if not len(texts):
            return np.empty((0, self.resources.size), dtype=np.float32)
        learnt = load(content)
        words = learnt["words"].tobytes().decode().split("\n")
        vectorizer = _vectorizer(vocabulary=words)
        vectorizer.idf_ = learnt["idf"]
        features = vectorizer.transform([as_text(text) for text in texts])
        return Linear(learnt["weight"], learnt["bias"]).log_probs(features)


def _vectorizer(**settings: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32, **settings)
