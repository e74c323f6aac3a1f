"""What tests of the tuners share."""

import pytest
import torch

from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import Examples
from tests.tiny import TEXTS


@pytest.fixture
def examples(tiny_scorer: Scorer) -> Examples:
    texts = tiny_scorer.tokenize([row["text"] for row in TEXTS])
    labels = torch.tensor([int(row["label"] == "positive") for row in TEXTS])
    return Examples(texts[::2], labels[::2], texts[1::2], labels[1::2])
