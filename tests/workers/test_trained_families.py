"""A masked and a sequence-to-sequence model that know something: small ones, trained from nothing
on the demo's movie snippets, then frozen and asked about snippets they have not seen."""

import csv
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForMaskedLM, AutoModelForSeq2SeqLM, AutoTokenizer

from autoprompt.search_spaces import SoftPlan
from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import TaskSpec, build_task
from autoprompt.workers.tuners import Examples, tune
from tests.conftest import DEMO_DATA
from tests.tiny import save_tiny_bert, save_tiny_t5

TEMPLATE = "{text} It was {mask}."
LABEL_WORDS = {"negative": "awful", "positive": "great"}
LABELS = list(LABEL_WORDS)


def snippets() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """4,000 to train the model on, 600 more for a search."""
    with DEMO_DATA.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    random.Random(1).shuffle(rows)
    return rows[:4000], rows[4000:4600]


def train(folder: Path, kind: str, steps: int, rate: float) -> Path:
    """Teach a model with random weights to answer the template, all its parameters at once."""
    known, _ = snippets()
    corpus = [f"{row['text']} It was great. It was awful." for row in known]
    loader: Any
    if kind == "bert":
        changes = {"num_hidden_layers": 1, "hidden_dropout_prob": 0.0}
        save_tiny_bert(
            folder,
            corpus,
            2000,
            hidden_size=64,
            intermediate_size=128,
            initializer_range=0.1,
            max_position_embeddings=128,
            attention_probs_dropout_prob=0.0,
            **changes,
        )
        loader, mask = AutoModelForMaskedLM, "[MASK]"
    else:
        changes = {"num_layers": 1, "dropout_rate": 0.0}
        save_tiny_t5(folder, corpus, 2000, d_model=64, d_ff=128, d_kv=16, **changes)
        loader, mask = AutoModelForSeq2SeqLM, "<extra_id_0>"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = loader.from_pretrained(folder).train()
    words = [
        tokenizer(f"It was {word}", add_special_tokens=False).input_ids[-1]
        for word in LABEL_WORDS.values()
    ]
    mask_id = tokenizer.convert_tokens_to_ids(mask)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    draw = random.Random(0)
    torch.manual_seed(0)
    for _ in range(steps):
        rows = draw.sample(known, 32)
        batch = tokenizer(
            [TEMPLATE.format(text=row["text"], mask=mask) for row in rows],
            padding=True,
            truncation=True,
            max_length=64,
            return_tensors="pt",
        )
        if kind == "bert":
            at = (batch.input_ids == mask_id).int().argmax(1)
            # The vocabulary is asked about the masks alone: most of the work otherwise.
            states = model.bert(**batch).last_hidden_state[torch.arange(len(rows)), at]
            logits = model.cls(states)
        else:
            start = torch.tensor([[0, mask_id]]).expand(len(rows), -1)
            logits = model(**batch, decoder_input_ids=start).logits[:, -1]
        answers = torch.tensor([words[LABELS.index(row["label"])] for row in rows])
        optimizer.zero_grad()
        cross_entropy(logits, answers).backward()
        optimizer.step()
        schedule.step()
    model.eval().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def model(kind: str) -> Path:
        if kind not in made:
            steps, rate = {"bert": (600, 5e-3), "t5": (400, 4e-3)}[kind]
            made[kind] = train(tmp_path_factory.mktemp(kind) / "model", kind, steps, rate)
        return made[kind]

    return model


def accuracy(scorer: Scorer, prompt: Prompt, rows: list[dict[str, str]]) -> float:
    found = scorer.score_texts([prompt], [row["text"] for row in rows])[0].argmax(-1)
    labels = torch.tensor([LABELS.index(row["label"]) for row in rows])
    return float((found == labels).float().mean())


def scorer_of(folder: Path, words: dict[str, str]) -> Scorer:
    model = load_model(ModelSpec(path=str(folder), dtype="float32"))
    spec = TaskSpec.model_validate({"template": TEMPLATE, "label_words": words})
    return Scorer(model, build_task(spec, model.tokenizer, model.family), longest_prompt=8)


def tuned(scorer: Scorer, position: Position) -> Prompt:
    """A soft prompt learned from 400 of the snippets that the model was not trained on."""
    _, rows = snippets()
    texts = scorer.tokenize([row["text"] for row in rows[:400]])
    labels = torch.tensor([LABELS.index(row["label"]) for row in rows[:400]])
    plan = SoftPlan(
        seed=1,
        length=4,
        init="vocabulary",
        learning_rate=0.1,
        steps=100,
        batch_size=32,
        position=position,
    )
    (progress,) = tune(plan, scorer, Examples(texts, labels, texts, labels), (1.0,))
    return progress.prompt


@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_what_a_model_knows_is_read_from_it_and_kept_by_a_prompt(
    kind: str, trained: Callable[[str], Path]
) -> None:
    _, rows = snippets()
    scorer = scorer_of(trained(kind), LABEL_WORDS)
    alone = accuracy(scorer, Prompt(""), rows)
    assert alone > 0.56, "three standard errors above chance"
    assert accuracy(scorer, tuned(scorer, "prefix"), rows) > alone - 0.05


@pytest.mark.parametrize("position", ["prefix", "decoder"])
def test_a_prompt_brings_back_what_other_label_words_lost(
    position: Position, trained: Callable[[str], Path]
) -> None:
    """The model was never asked to answer with these two words, so they say nothing of a text
    until a prompt has it use them."""
    _, rows = snippets()
    learned, unseen = rows[:400], rows[400:]
    scorer = scorer_of(trained("t5"), {"negative": "film", "positive": "movie"})
    before = [accuracy(scorer, Prompt(""), part) for part in (learned, unseen)]
    prompt = tuned(scorer, position)
    after = [accuracy(scorer, prompt, part) for part in (learned, unseen)]
    assert after[0] > max(before[0], 0.5) + 0.05, f"{before} without a prompt, {after} with one"
    assert after[1] > before[1] - 0.02, f"{before} without a prompt, {after} with one"
