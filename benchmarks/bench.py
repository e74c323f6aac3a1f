"""Every benchmark, each in a process of its own, one after another: a table, and JSON.

python -m benchmarks.bench [--only WORD ...] [--resume]
"""

import argparse
import json
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.answer_rows import answers, kv_answers, peft, report
from benchmarks.decoding_rows import decoding
from benchmarks.engine_rows import (
    ensemble,
    kv_trial,
    labels,
    limit,
    many_texts,
    memory,
    prediction,
    prefix,
    search,
    soft_trial,
    steps,
)
from benchmarks.row import UNFINISHED, Row
from benchmarks.service_rows import killed, leaderboard, nothing, simulated, virtual, warm
from benchmarks.serving_rows import serving
from benchmarks.vote_rows import bagged, folds, three_labels
from benchmarks.word_rows import (
    candidates,
    demonstrations,
    everything,
    hard,
    label_words,
    racing,
    ratings,
    words,
)

RESULTS = Path(__file__).parent / "results.json"
HEADINGS = ("what", "ours", "against", "ratio", "target", "met", "note")


#: Why a target that is missed is missed, by what was measured.
REASONS = {
    "movies: ensemble, its members": (
        "prompts for one template on one frozen model err on nearly the same texts, so a vote has "
        "little to mend"
    ),
    "movies: ensemble, LoRA r=8": (
        "LoRA moves the weights of every layer, 460,800 numbers; a prompt of 3 to 8 vectors behind "
        "the text, at most 4,608, only asks the frozen model otherwise"
    ),
    "a search's later soft trial, PEFT in float32": (
        "192 tokens a step are few for two cores: matrix products take 40% of the time, and "
        "thousands of small operations the rest; at the end a step has 128"
    ),
    "a training step of a soft prompt at `suffix`": (
        "a step reaches two thirds of the processor's rate of matrix products (see its share), so "
        "little was left to gain"
    ),
    "a training step of a soft prompt at `suffix`, one of 4 side by side": (
        "four reach 86% of the processor's rate of matrix products, and the version before, which "
        "has the same products, was there already"
    ),
    "a training step of a soft prompt at `end`": (
        "the matrix products are the same on both sides, and they are most of a step"
    ),
    "a training step of a soft prompt at `end`, one of 4 side by side": (
        "the matrix products are the same on both sides; a pass whose prompts have batches of "
        "their own has more small operations around them, and why they cost so much is not known"
    ),
    "a KV trial": (
        "one query token for each of 16 texts a step: products of 16 rows wait for the model's "
        "weights to come from memory; side by side they do not"
    ),
    "search, no early stopping, one at a time: trials per hour": (
        "every trial runs to its end on both sides, with one thread a worker"
    ),
    "5 members over 400 texts": (
        "by count of tokens: a snippet has 26, each member adds 8 and the template's 4, so five "
        "put 86 through the model where one puts 38; longer texts or shorter prompts come nearer"
    ),
    "5 members over 400 texts, at the end": (
        "by count of tokens: the template's 4 are shared there, so five put 70 through the model "
        "where one puts 38"
    ),
    "prediction, 5 members of 8 tokens": (
        "five blocks of 12 tokens and a text of 26 against one block and the text: 2.26x by count"
    ),
    "prediction, 5 members of 2 tokens": (
        "five blocks of 6 tokens and a text of 26 against one block and the text: 1.75x by count"
    ),
    "the report of a search of 1000 trials": (
        "most of it is Python reading its libraries: Optuna's importances alone need scikit-learn "
        "and SciPy"
    ),
    "more texts than fit, 8 kv trials sharing batches, each": (
        "by count of tokens: a step of eight puts 128 tokens through the model, forward and back, "
        "and two fifths of the texts are computed with each batch of 16, about 200 tokens forward"
    ),
    "candidates times texts scored by a search for words that races": (
        "every candidate is scored on a first block of 16 texts, and swaps of a token or two are "
        "so much alike that few are clearly worse there"
    ),
    "prediction by 30 prompts of folds, two templates, 400 snippets": (
        "by count of tokens 1.95x: a text of 26, ten of two templates and 30 that are asked, "
        "against 34; a pass that asks few tokens of each text is slower by the token"
    ),
    "tweets: ensemble of KV prompts": (
        "prompts that start from frequent words, and those of 240 steps, learn the movies "
        "(docs/log.md), and validation on movies does not tell"
    ),
    "amazon: ensemble of KV prompts": "by 0.2 points, for the same reason as on tweets",
    **dict.fromkeys(
        (
            "serve, requests of 16 texts: texts a second",
            "serve, requests of one text: texts a second",
        ),
        "proxy, front and load generator share the two cores that the predictor has to itself; how "
        "much of it that is was not measured",
    ),
    "tokens written a second, contexts of 207 tokens, answers of 16, prompts: 1": (
        "a pass reads one token of each of 16 texts, and products of 16 rows wait for the model's "
        "weights to come from memory, on both sides; four prompts share what comes"
    ),
    "movies: vote of folds, its members' mean": (
        "members of one model err on much the same texts: out of fold two of them disagree 0.44 "
        "times as often as one errs"
    ),
    "movies: vote of folds, the best prompt": (
        "by 0.03 points; what a vote gives is steadiness: its seeds differ by 0.6 points, those of "
        "the best prompt by 2.5"
    ),
    "tweets: vote of folds": (
        "half of the plans start from frequent words and learn the movies (docs/log.md): "
        "those that start from a phrase carry further, and validation on movies does not tell"
    ),
    "movies: vote of folds, linear probe": (
        "in one seed of three; 1,000 texts do not tell 1.5 points apart"
    ),
    "5 folds of one KV plan, texts computed before": (
        "by count of query tokens five prompts cost five times one; a pass that they share reads "
        "the model's weights once for all of them, which makes up for a part of that alone"
    ),
    "a hard prefix of 16 tokens, 400 texts": (
        "30 tokens a text in the place of 46, so 1.53x at the most; the rest is the cost of "
        "joining the prefix's states to every text's"
    ),
}


BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "answers": answers,
    "kv_answers": kv_answers,
    "peft": peft,
    "soft_trial": soft_trial,
    "steps": steps,
    "kv_trial": kv_trial,
    "ensemble": ensemble,
    "prediction": prediction,
    "prefix": prefix,
    "labels": labels,
    "bagged": bagged,
    "folds": folds,
    "three_labels": three_labels,
    "words": words,
    "ratings": ratings,
    "hard": hard,
    "everything": everything,
    "candidates": candidates,
    "racing": racing,
    "label_words": label_words,
    "demonstrations": demonstrations,
    "decoding": decoding,
    "many_texts": many_texts,
    "memory": memory,
    "limit": limit,
    "nothing": nothing,
    "warm": warm,
    "leaderboard": leaderboard,
    "simulated": simulated,
    "virtual": virtual,
    "killed": killed,
    "report": report,
    "serving": serving,
    "search": search,
}


#: What README shows of all lines, and what it calls them.
HIGHLIGHTS = {
    "movies: ensemble": "accuracy, beside the template alone",
    "movies: vote of folds, linear probe": "accuracy of a vote of folds, beside a linear probe",
    "movies: ensemble, PEFT prompt tuning": "accuracy, beside PEFT's prompt tuning",
    "movies: ensemble, LoRA r=8": "accuracy, beside LoRA, which trains weights",
    "5 members over 400 texts, KV": "400 texts labelled by five prompts, beside one, uncached",
    "search, early stopping, 4 trials a worker: trials per hour": (
        "trials an hour, beside Ray Tune, Optuna and PEFT by hand"
    ),
}


def highlights() -> str:
    """The few results that README shows."""
    known = json.loads(RESULTS.read_text(encoding="utf-8"))
    rows = {row["what"]: row for name in BENCHMARKS for row in known.get(name, [])}
    lines = ["| mean and each of three seeds, where there are | ours | against |", "|---|---|---|"]
    for what, shown in HIGHLIGHTS.items():
        if what in rows:
            lines.append(f"| {shown} | {rows[what]['ours']} | {rows[what]['against']} |")
    return "\n".join(lines)


def markdown() -> str:
    """The kept results as docs/benchmarks.md tells them: a table, and why targets are missed."""
    known = json.loads(RESULTS.read_text(encoding="utf-8"))
    rows = [row for name in BENCHMARKS for row in known.get(name, [])]
    lines = ["| what | ours | against | ratio | target | met |", "|---|---|---|---|---|---|"]
    for row in rows:
        met = "-" if row["target"] == "-" else "yes" if row["met"] else "**no**"
        cells = (row["what"], row["ours"], row["against"], _ratio(row), row["target"])
        lines.append(f"| {' | '.join(cells)} | {met} |")
    lines += ["", "Where a target is missed:", ""]
    for row in rows:
        if not row["met"]:
            reason = f"- {row['what']}: {REASONS[row['what']]}."
            lines.append(textwrap.fill(reason, 100, subsequent_indent="  "))
    return "\n".join(lines)


def _ratio(row: dict[str, Any]) -> str:
    return "-" if row["ratio"] is None else f"{row['ratio']:.2f}x"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(BENCHMARKS), help="some of them")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was cut off")
    given = parser.parse_args()
    only = given.only
    if not given.resume:
        shutil.rmtree(UNFINISHED, ignore_errors=True)
    known: dict[str, list[dict[str, Any]]] = {}
    if only and RESULTS.exists():
        known = json.loads(RESULTS.read_text(encoding="utf-8"))
    for name in only or BENCHMARKS:
        known[name] = [asdict(row) for row in BENCHMARKS[name]()]
        RESULTS.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(UNFINISHED, ignore_errors=True)
    table = Table(*HEADINGS, box=box.SIMPLE_HEAD)
    for name in BENCHMARKS:
        for row in known.get(name, []):
            cells = {**row, "ratio": _ratio(row), "met": "yes" if row["met"] else "NO"}
            if not row["met"]:
                cells["note"] = REASONS.get(row["what"], row["note"])
            table.add_row(*(str(cells[heading]) for heading in HEADINGS))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
