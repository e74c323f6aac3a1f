"""A linear probe: logistic regression on the frozen model's hidden states (Alain and Bengio 2016).

It reads what a prompt has to bring out: the state where the template's answer is asked for.
"""

from collections.abc import Sequence

import numpy as np
from safetensors.numpy import load, save

from autoprompt.workers.baselines.baseline import Baseline, Learnt, some
from autoprompt.workers.baselines.logistic import (
    STANDARDISED,
    Linear,
    best_strength,
    fitted,
    fold_loss,
    folds,
)
from autoprompt.workers.rows import Text
from autoprompt.workers.vote import Floats

#: Texts that are learnt from: of more, a part.
MOST_TEXTS = 20_000

#: The strength with which layers are compared.
_MIDDLE = 0.01


class LinearProbe(Baseline):
    """The layer first, then the strength of regularisation, both by cross-validation."""

    reads_states = True

    def fit(self, texts: Sequence[Text], labels: Sequence[int]) -> Learnt:
        size, seed, states = self.resources.size, self.resources.seed, self.resources.states
        places = some(len(texts), MOST_TEXTS, seed)
        own = [texts[place] for place in places]
        expected = [labels[place] for place in places]
        parts = folds(expected, size, seed)
        layers = states.layers_for(own)
        layer = layers[-1]
        if parts and len(layers) > 1:
            losses = [
                fold_loss(_spread_of_1(states.at(own, one))[0], expected, size, _MIDDLE, parts)
                for one in layers
            ]
            layer = layers[int(np.argmin(losses))]
        features, mean, scale = _spread_of_1(states.at(own, layer))
        strength = best_strength(features, expected, size, STANDARDISED, parts)
        linear = fitted(features, expected, size, strength).unscaled(mean, scale)
        content = save(
            {
                "layer": np.array([layer]),
                "weight": linear.weight,
                "bias": linear.bias.astype(np.float32),
            }
        )
        settings = {"layer": layer, "C": strength}
        return Learnt(content, settings | ({"texts": len(own)} if len(own) < len(texts) else {}))

    def log_probs(self, content: bytes, texts: Sequence[Text]) -> Floats:
        learnt = load(content)
        features = self.resources.states.at(texts, int(learnt["layer"][0]))
        return Linear(learnt["weight"], learnt["bias"]).log_probs(features)


def _spread_of_1(states: Floats) -> tuple[Floats, Floats, Floats]:
    """States [B, H] with a mean of 0 and a spread of 1 in every number; both as they were, [H]."""
    mean, scale = states.mean(0), states.std(0) + 1e-6
    return (states - mean) / scale, mean, scale
