"""Trials over more texts than fit: some are at hand, some on disk, the rest computed each time.

    python -m benchmarks.many_texts [--texts 18000] [--few 2000] [--at-hand 4] [--on-disk 8]
                                    [--together 8] [--steps 60] [--validation 500]

The demo's movies, Amazon reviews and tweets; trials side by side share their batches. A step costs
the same whatever it draws from, and the validation texts are the same, so the time if everything
fitted is that of a few texts, which all do. Files are out of the machine's memory when trials
begin, so that they are read from the disk. Prints JSON.
"""

import argparse
import csv
import json
import os
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from autoprompt.search_spaces import KVPlan, SoftPlan
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import build_task
from autoprompt.workers.text_cache import CacheSpec
from autoprompt.workers.tuners import Examples, Pack, Progress
from benchmarks.our_trial import KV_PLAN, PLAN
from benchmarks.setting import DEMO, MODEL, SEED, STEPS, TASK, VIRTUAL_TOKENS

FILES = ("movies", "amazon", "tweets")
KINDS: dict[str, SoftPlan | KVPlan] = {"soft": PLAN, "kv": KV_PLAN}


@dataclass(frozen=True)
class Setting:
    """What the trials run over.

    Attributes:
        validation: how many of the texts judge; the others are trained on.
        at_hand, on_disk: GiB.
        together: trials side by side.
        steps: of a soft trial; a KV trial has twice as many.
    """

    validation: int
    at_hand: float
    on_disk: float
    together: int
    steps: int


def real_texts(count: int) -> list[tuple[str, int]]:
    """Texts and labels of the demo's files, shuffled: as many as asked for, or all there are."""
    rows = []
    for name in FILES:
        with (DEMO / "data" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows += [(row["text"], row["label"]) for row in csv.DictReader(file)]
    labels = list(TASK.label_words)
    known = [(text, labels.index(label)) for text, label in rows if label in labels]
    random.Random(SEED).shuffle(known)
    return known[:count]


def measured(scorer: Scorer, texts: list[tuple[str, int]], setting: Setting) -> dict[str, Any]:
    """Seconds of the first encoding and of a trial of each kind, and where the texts were."""
    tokens = scorer.tokenize([text for text, _ in texts])
    labels = torch.tensor([label for _, label in texts])
    cut = setting.validation
    examples = Examples(tokens[cut:], labels[cut:], tokens[:cut], labels[:cut])
    cache, files = scorer.cache, scorer.cache._files
    started = time.perf_counter()
    positions = {plan.position for plan in KINDS.values()}
    scorer.prefill([*examples.validation, *examples.train], positions)
    found: dict[str, Any] = {"first_encoding": time.perf_counter() - started}
    places = list(cache._places.values())
    found["places"] = {place: places.count(place) for place in ("hand", "disk", "nowhere")}
    found["texts"], found["tokens"] = len(tokens), sum(map(len, tokens))
    for kind, plan in KINDS.items():
        if files is not None:
            _put_out_of_memory(files.root)
        plans = {
            seed: plan.model_copy(
                update={"seed": seed, "steps": plan.steps * setting.steps // STEPS}
            )
            for seed in range(setting.together)
        }
        encoded, read = cache.encoded, cache.read
        started = time.perf_counter()
        pack = Pack(plans, scorer, examples, fractions=(1.0,))
        while pack.numbers:
            for told in pack.advance():
                assert isinstance(told.outcome, Progress), told.outcome
        found[kind] = {
            "seconds": (time.perf_counter() - started) / setting.together,
            "encoded": cache.encoded - encoded,
            "read": cache.read - read,
        }
    return found


def _put_out_of_memory(folder: Path) -> None:
    os.sync()
    for path in folder.rglob("*.safetensors"):
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def run(texts: int, few: int, setting: Setting) -> dict[str, Any]:
    """A few texts, which all fit, and many, which do not."""
    model = load_model(MODEL)
    task = build_task(TASK, model.tokenizer, model.family)
    found: dict[str, Any] = {}
    roomy = CacheSpec(bytes_at_hand=1 << 40)
    for name, count in (("few", few), ("many", texts)):
        with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".texts") as folder:
            tight = CacheSpec(
                int(setting.at_hand * (1 << 30)), int(setting.on_disk * (1 << 30)), folder
            )
            spec = roomy if name == "few" else tight
            scorer = Scorer(model, task, VIRTUAL_TOKENS, spec.open(model))
            found[name] = measured(scorer, real_texts(count), setting)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=18000)
    parser.add_argument("--few", type=int, default=2000)
    parser.add_argument("--at-hand", type=float, default=4)
    parser.add_argument("--on-disk", type=float, default=8)
    parser.add_argument("--together", type=int, default=8)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--validation", type=int, default=500)
    given = vars(parser.parse_args())
    sizes = given.pop("texts"), given.pop("few")
    print(json.dumps(run(*sizes, Setting(**given))))
