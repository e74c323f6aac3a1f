"""That a model goes on from kept texts as it should, known from one process to the next.

Trying it takes several passes over whole texts, and says the same of the same weights, dtype and
code each time: of every worker, of what scores the test texts, and of every later search. Only what
was found right is kept; what was not is tried again.
"""

import hashlib

import torch

from autoprompt.search_spaces.distribution import version
from autoprompt.workers.cache_folder import cache_folder
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import load_model


def load_known_model(spec: ModelSpec) -> FrozenModel:
    """The model, which knows whether its kept texts were found right before.

    Raises:
        ModelError: as `load_model`.
    """
    model = load_model(spec)
    if model.cache_key is not None:
        code = f"{version()}:torch {torch.__version__}:{model.device.type}"
        digest = hashlib.sha256(f"{code}:{model.cache_key}".encode()).hexdigest()
        model.trust_file = cache_folder() / "trust" / digest[:32]
    return model
