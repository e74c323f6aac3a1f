"""How much a text weighs in the loss where labels are not equally frequent."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from autoprompt.workers.job import Job
from autoprompt.workers.task import Task
from autoprompt.workers.vote import Floats


def balanced_weights(labels: Sequence[int], count: int) -> Floats:
    """[A], what the loss of a text counts by its label, so that the texts of each label that is
    there weigh the same together (King and Zeng 2001; `class_weight="balanced"` in scikit-learn).

    The mean over the texts is 1. A label without texts has 0.

    Args:
        labels: [B], of the train texts, as places among A answers.
        count: A.
    """
    texts = np.bincount(labels, minlength=count)
    there = np.count_nonzero(texts)
    return np.divide(len(labels), there * texts, out=np.zeros(count), where=texts > 0)


def text_weights(job: Job, task: Task) -> Tensor | None:
    """[B], what the loss of each train text counts; None where all count alike."""
    if not job.class_weights:
        return None
    labels = list(job.train.labels)
    return torch.tensor(balanced_weights(labels, task.readout.size)[labels], dtype=torch.float32)
