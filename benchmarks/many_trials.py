"""A search of many trials, made up, and what its report takes: prints one JSON line."""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
import torch
from optuna.distributions import distribution_to_json
from safetensors.torch import save

from autoprompt.search_spaces import load_space, sample
from autoprompt.store import State, Store
from autoprompt.workers.prompt import Prompt

TEXTS, LABELS = 256, ("negative", "positive")
VERSIONS = ("autoprompt", "code", "torch", "transformers", "model", "data")


def make(url: str, trials: int, *, hidden: int = 576, members: bool = True) -> None:
    """Store a finished search whose plans are drawn from the quick space and whose scores are
    random; no model is involved.

    Args:
        hidden: H, the size of a virtual token.
        members: whether the best five vote.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rng, generator = random.Random(0), torch.Generator().manual_seed(0)
    space = load_space("quick", Path(), "quick")
    store = Store.open(url)
    expected = [number % 2 for number in range(TEXTS)]
    search = store.create_search(
        name="many",
        model="none",
        metric="accuracy",
        seed=0,
        config={
            "model": {"path": "none"},
            "data": {"path": "none.csv"},
            "task": {"label_words": {label: [label] for label in LABELS}},
            "space": space.model_dump(mode="json"),
            "search": {"trials": trials},
            "ensemble": {"size": 5, "vote": "majority"},
        },
        versions=dict.fromkeys(
            ("autoprompt", "code", "torch", "transformers", "model", "data"), "-"
        ),
        data={"train": 512, "validation": TEXTS, "test": 1000, "truncated": 0},
        validation_labels=expected,
        ensemble=None,
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for number in range(trials):
        drawn = study.ask()
        plan = sample(space, drawn, 0)
        store.start_trial(
            search.id,
            number,
            kind=plan.kind,
            plan=plan.model_dump(),
            params=drawn.params,
            distributions={
                name: json.loads(distribution_to_json(each))
                for name, each in drawn.distributions.items()
            },
        )
        ceiling = rng.uniform(0.7, 0.9)
        for rung in range(rungs := rng.choice((1, 2, 3))):
            log_probs = torch.rand(TEXTS, 2, generator=generator)
            right = torch.rand(TEXTS, generator=generator) < ceiling
            log_probs[torch.arange(TEXTS), expected] += right.float() * 2
            score = float((log_probs.argmax(-1) == torch.tensor(expected)).float().mean())
            text = " ".join(rng.choices(("in", "short", "the", "<b>mood</b>", "is"), k=8))
            vectors = torch.rand(8, hidden, generator=generator) if plan.kind == "soft" else None
            prompt = Prompt(text, vectors=vectors)
            store.record_rung(
                search.id,
                number,
                {"rung": rung, "step": 20 * 2**rung, "score": score, "loss": 1 - score}
                | {"train_loss": 1 - score, "seconds": rng.uniform(1, 9)},
                {"digest": prompt.digest, "text": text, "content": prompt.to_bytes()}
                | {"log_probs": save({"log_probs": log_probs.log_softmax(-1)})},
                {"worker": "made:1"},
            )
        store.finish_trial(search.id, number, State.COMPLETE if rungs == 3 else State.PRUNED)
    if members:
        best = [prompt.number for prompt in store.prompts(search.id, limit=5)]
        ensemble = {"members": best, "vote": "majority", "validation": 0.9}
        store.update_search(search.id, ensemble=ensemble)
    store.finish_search(search.id, State.FINISHED)
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/store.db"
        make(url, trials)
        out = Path(folder) / "report.html"
        command = [str(Path(sys.executable).parent / "autoprompt"), "report", "latest"]
        started = time.perf_counter()
        subprocess.run([*command, "--db", url, "--out", str(out)], check=True)
        seconds = time.perf_counter() - started
        print(json.dumps({"trials": trials, "seconds": seconds, "bytes": out.stat().st_size}))


if __name__ == "__main__":
    main()
