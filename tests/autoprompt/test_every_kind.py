"""Every kind of answers by every kind of prompt on causal and seq2seq models: one search each, from
its data to what leaves the house, on models that know a small language (`tests.cued`)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import autoprompt
from autoprompt.cli import main
from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import BadInputError
from tests.conftest import write_yaml
from tests.cued import ANIMALS, COLOURS, NUMBERS, SCENES, save_cued_model, scenes_for, write_rows

TASKS: dict[str, dict[str, Any]] = {
    "label_words": {"label_words": {colour: colour for colour in COLOURS}},
    "scale": {"label_words": {number: word for number, word in enumerate(NUMBERS, 1)}},
    "several_labels": {
        "label_words": {animal: animal for animal in ANIMALS},
        "label_question": " {label}?",
    },
    "options": {"options": "options", "longest_answer": 3},
    "text": {"stop": ".", "longest_answer": 4},
    "spans": {
        "label_words": {"number": "number", "colour": "colour"},
        "stop": ".",
        "longest_answer": 9,
    },
}

#: Where soft and KV prompts stand: nothing of a text is read again.
PLACES = {"causal": ("suffix", "end"), "seq2seq": ("decoder", "decoder")}

TRAINED = {"length": 2, "steps": 40, "batch_size": 16}
