"""The most frequent label, whatever the text says."""

from collections.abc import Sequence

import numpy as np
from safetensors.numpy import load, save

from autoprompt.workers.baselines.baseline import Baseline, Learnt
from autoprompt.workers.rows import Text
from autoprompt.workers.vote import Floats


class Majority(Baseline):
    """Every label as probable as it is among the train texts (Laplace's estimate)."""

    def fit(self, texts: Sequence[Text], labels: Sequence[int]) -> Learnt:
        counts = np.bincount(labels, minlength=self.resources.size) + 1.0
        log_probs = np.log(counts / counts.sum()).astype(np.float32)
        return Learnt(save({"log_probs": log_probs}))

    def log_probs(self, content: bytes, texts: Sequence[Text]) -> Floats:
        return np.tile(load(content)["log_probs"], (len(texts), 1))
