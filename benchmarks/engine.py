"""Parts of the engine, timed beside the plain way of doing the same.

python -m benchmarks.engine ensemble     five members over 400 texts
python -m benchmarks.engine prefix       hard prompts before the text
python -m benchmarks.engine labels       77 labels that begin alike
python -m benchmarks.engine memory       what a second worker costs
"""

import argparse
import itertools
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection

import psutil
import torch
from transformers import AutoTokenizer

from autoprompt.workers.adapter import resolve
from autoprompt.workers.prompt import Prompt, kv_prompt
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_states import KeysAndValues, TokenIds
from benchmarks.setting import MODEL, TASK, VIRTUAL_TOKENS, movie_splits

REPEATS = 3

#: What 77 labels of four tokens say, one word of each row: they part at every token.
LABELS = (
    ("card", "bank", "cash"),
    ("payment", "transfer", "refund"),
    ("fee", "limit", "code"),
    ("wrong", "late", "missing"),
)


def timed(work: Callable[[], object]) -> float:
    """The median seconds of a few runs."""
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def uncached(scorer: Scorer) -> Scorer:
    """A scorer that runs the whole input every time."""
    plain = Scorer(scorer.model, scorer.task, longest_prompt=16)
    plain.family._trusts_cache = False
    return plain


def _soft_prompts(scorer: Scorer, count: int) -> list[Prompt]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5000, (count, VIRTUAL_TOKENS), generator=generator)
    return [Prompt("", vectors=scorer.model.embed(row).float()) for row in ids]


def ensemble() -> dict[str, float]:
    """Five members in one pass from texts never seen before, and one member uncached."""
    scorer = load_scorer(MODEL, TASK, 16)
    texts = movie_splits().validation.texts
    members = _soft_prompts(scorer, 5)
    at_the_end = [replace(member, position="end") for member in members]
    shape = KeysAndValues(scorer.model).row_shape
    assert shape is not None
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(VIRTUAL_TOKENS, *shape, generator=generator) for _ in members]
    of_rows = [kv_prompt(row, "end") for row in rows]
    scorer.score_texts(members[:1], texts[:32])
    plain = uncached(scorer)
    tokens: list[TokenIds] = scorer.tokenize(texts)
    return {
        "five_members": timed(lambda: scorer.score_texts(members, texts)),
        "five_at_the_end": timed(lambda: scorer.score_texts(at_the_end, texts)),
        "five_kv_members": timed(lambda: scorer.score_texts(of_rows, texts)),
        "one_member_uncached": timed(lambda: plain.log_probs(members[:1], tokens)),
    }


def prefix() -> dict[str, float]:
    """A hard prompt of 16 tokens before 400 texts."""
    scorer = load_scorer(MODEL, TASK, 16)
    tokens = scorer.tokenize(movie_splits().validation.texts)
    prompt = [Prompt("", tuple(range(1000, 1016)), position="prefix")]
    scorer.family.trusts_cache(tokens)
    plain = uncached(scorer)
    return {
        "shared_prefix": timed(lambda: scorer.log_probs(prompt, tokens)),
        "plain": timed(lambda: plain.log_probs(prompt, tokens)),
    }


def labels() -> dict[str, float]:
    """77 labels of four tokens as a tree, and two of one, from texts never seen before."""
    two = load_scorer(MODEL, TASK, 16)
    names = [" ".join(words) for words in itertools.product(*LABELS)][:77]
    wording = {"label_words": {name: (name,) for name in names}, "label_scoring": "tree"}
    many = two.reworded(TASK.model_copy(update=wording))
    lengths = {len(ids) for ids in many.task.readout.spoken}
    assert lengths == {4}, f"labels of {lengths} tokens"
    texts = movie_splits().validation.texts
    prompt = _soft_prompts(two, 1)
    for scorer in (two, many):
        scorer.score_texts(prompt, texts[:32])
    return {
        "two": timed(lambda: two.score_texts(prompt, texts)),
        "many": timed(lambda: many.score_texts(prompt, texts)),
        "read": len(many.task.readout.branches),
        "of": sum(len(ids) - 1 for ids in many.task.readout.spoken),
    }


def _hold(pipe: Connection, load: bool) -> None:
    """Stay alive with our imports, and with the model where asked."""
    if load:
        load_scorer(MODEL, TASK, 16).score_texts([Prompt("")], ["a joy from start to finish"])
    else:
        AutoTokenizer.from_pretrained(resolve(MODEL))
        torch.nn.functional.linear(torch.zeros(64, 64), torch.zeros(64, 64))
    pipe.send(None)
    pipe.recv()


def _second_process(load: bool) -> int:
    """Bytes that only the second of two processes holds, while both live."""
    context = multiprocessing.get_context("spawn")
    pairs = []
    for _ in range(2):
        ours, theirs = context.Pipe()
        process = context.Process(target=_hold, args=(theirs, load))
        process.start()
        ours.recv()
        pairs.append((process, ours))
    assert pairs[1][0].pid is not None
    private = psutil.Process(pairs[1][0].pid).memory_full_info().uss
    for process, pipe in pairs:
        pipe.send(None)
        process.join()
    return int(private)


def memory() -> dict[str, float]:
    """MB that a second worker adds with the model, beyond one that has everything but the model."""
    added = _second_process(load=True) - _second_process(load=False)
    parameters = load_scorer(MODEL, TASK, 16).model.model.parameters()
    return {"private_mb": added / 1e6, "model_mb": sum(each.nbytes for each in parameters) / 1e6}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["ensemble", "prefix", "labels", "memory"])
    measured = {"ensemble": ensemble, "prefix": prefix, "labels": labels, "memory": memory}
    print(json.dumps(measured[parser.parse_args().what]()))
