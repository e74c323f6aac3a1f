"""Labelling texts that were never seen, from strings to labels.

python -m benchmarks.prediction throughput   one hard prompt, beside a batched transformers loop
python -m benchmarks.prediction ensembles    five members, beside one that is computed alone
python -m benchmarks.prediction tasks        three tasks together, beside one after another
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from autoprompt.workers.adapter import resolve
from autoprompt.workers.dtype_choice import choose_dtype
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.mixture import Mixture, Panel
from autoprompt.workers.model_config import read_config
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.rows import as_text
from autoprompt.workers.task import TaskSpec, build_task
from benchmarks.setting import MODEL, TASK, movie_splits

REPEATS = 3
TEXTS = 400
PHRASE = " In short, the film was"

#: Other tasks on the same snippets, whose templates begin alike.
TASKS = (
    TASK,
    TaskSpec(template="Review: {text}\nIs it long?", label_words={"y": "yes", "n": "no"}),
    TaskSpec(template="Review: {text}\nMood:", label_words={"a": ("happy", "glad"), "b": "sad"}),
)


def timed(work: Callable[[], object]) -> float:
    """The median seconds of a few runs, after one that does not count."""
    work()
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


class Loop:
    """What a careful user writes: sorted by length, padded on the left, one logit row a text."""

    def __init__(self) -> None:
        folder = resolve(MODEL)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.tokenizer.pad_token = self.tokenizer.pad_token or self.tokenizer.eos_token
        dtype = choose_dtype(MODEL, read_config(folder, MODEL), torch.device("cpu"))
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
        words = [f" {given[0]}" for given in TASK.label_words.values()]
        found = self.tokenizer(words, add_special_tokens=False).input_ids
        self.words = torch.tensor([ids[0] for ids in found])

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str], batch_size: int) -> list[int]:
        head, tail = TASK.template.split("{text}")
        encoded = self.tokenizer([head + text + PHRASE + tail for text in texts]).input_ids
        order = sorted(range(len(texts)), key=lambda index: len(encoded[index]))
        labels = [0] * len(texts)
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            batch = self.tokenizer.pad(
                {"input_ids": [encoded[index] for index in indices]}, return_tensors="pt"
            )
            positions = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
            logits = self.model(
                **batch, position_ids=positions, logits_to_keep=1, use_cache=False
            ).logits[:, -1]
            for index, label in zip(
                indices, logits[:, self.words].argmax(-1).tolist(), strict=True
            ):
                labels[index] = label
        return labels


def throughput() -> dict[str, float]:
    """Texts a second, ours and the loop's at its best batch size, and how often they agree."""
    texts = [as_text(text) for text in movie_splits().test.texts[:TEXTS]]
    loop = Loop()
    paces = {size: len(texts) / timed(partial(loop, texts, size)) for size in (16, 32, 64, 128)}
    best = max(paces, key=paces.__getitem__)
    theirs = loop(texts, best)
    del loop.model
    model = load_model(MODEL)
    ids = tuple(model.tokenizer(PHRASE, add_special_tokens=False).input_ids)
    mixture = Mixture(model, [Panel(build_task(TASK, model.tokenizer), [Prompt("", ids)], 16)])

    def ours() -> list[int]:
        labels: list[int] = mixture.score_texts(texts)[0][0].argmax(-1).tolist()
        return labels

    same = sum(a == b for a, b in zip(ours(), theirs, strict=True)) / len(texts)
    return {"ours": len(texts) / timed(ours), "loop": paces[best], "batch": best, "same": same}


def _members(model: FrozenModel, count: int, length: int) -> list[Prompt]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5000, (count, length), generator=generator)
    return [Prompt("", vectors=model.embed(row).float()) for row in ids]


def ensembles() -> dict[str, dict[str, float]]:
    """Five members and one, by the length of prompts and texts: all are computed from nothing."""
    model = load_model(MODEL)
    task = build_task(TASK, model.tokenizer)
    snippets = [as_text(text) for text in movie_splits().test.texts[:400]]
    joined = [" ".join(snippets[start : start + 5]) for start in range(0, len(snippets), 5)]
    found = {}
    settings = {
        "8 tokens": (snippets, 8),
        "2 tokens": (snippets, 2),
        "8 tokens, five snippets a text": (joined, 8),
    }
    for name, (texts, length) in settings.items():
        members = _members(model, 5, length)
        five, one = (
            timed(partial(mixture.score_texts, texts))
            for mixture in (Mixture(model, [Panel(task, members[:n], 16)]) for n in (5, 1))
        )
        tokens = statistics.mean(len(ids) for ids in model.tokenizer(list(texts)).input_ids)
        found[name] = {"five": five, "one": one, "tokens": tokens}
    return found


def tasks() -> dict[str, float]:
    """Three searches of five members of 4 tokens each."""
    model = load_model(MODEL)
    texts = movie_splits().test.texts[:400]
    members = _members(model, 5, 4)
    panels = [Panel(build_task(task, model.tokenizer), members, 16) for task in TASKS]
    together = Mixture(model, panels)
    alone = [Mixture(model, [panel]) for panel in panels]
    return {
        "together": timed(lambda: together.score_texts(texts)),
        "in_turn": timed(lambda: [mixture.score_texts(texts) for mixture in alone]),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["throughput", "ensembles", "tasks"])
    measured = {"throughput": throughput, "ensembles": ensembles, "tasks": tasks}
    print(json.dumps(measured[parser.parse_args().what]()))
