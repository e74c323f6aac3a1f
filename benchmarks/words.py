"""What searching for words costs, beside the plain way of doing the same.

python -m benchmarks.words demonstrations   8 of them before 400 texts
python -m benchmarks.words candidates       words tried behind texts, a second
python -m benchmarks.words racing           what racing spares, and what it costs in score
python -m benchmarks.words label_words      10,000 pairs of words from one pass
"""

import argparse
import functools
import json
import time
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from autoprompt.search_spaces import HardPlan
from autoprompt.search_spaces.wording_space import Proposals
from autoprompt.workers import label_search
from autoprompt.workers.demonstrations import Pool, chosen, demonstrated
from autoprompt.workers.prompt import Prompt, hard_prompt
from autoprompt.workers.question import ids_of
from autoprompt.workers.rows import as_text
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import tune
from autoprompt.workers.tuners.racing import Racing
from autoprompt.workers.tuners.searchers.swaps import Swaps
from benchmarks.engine import timed, uncached
from benchmarks.setting import MODEL, SEED, TASK, movie_examples, movie_splits

#: A searched prompt's tokens, and how many are tried at a time on how many texts.
TOKENS, CANDIDATES, TEXTS = 8, 8, 32

#: Texts of one plain pass.
BATCH = 32

#: Of the searches that race: one alone comes out better or worse by what it happens to try.
SEEDS = range(3)

SWAPS = HardPlan(
    seed=SEED,
    searcher="swaps",
    tokens=6,
    start="Overall, the writer's opinion is",
    candidates=6,
    rounds=6,
    batch_size=16,
)


def demonstrations() -> dict[str, Any]:
    """400 texts behind 8 demonstrations that are read once, and read with every text."""
    scorer = load_scorer(MODEL, TASK, 16)
    splits = movie_splits()
    plan = HardPlan(seed=SEED, searcher="none", demonstrations=8)
    places = chosen(plan, Pool(scorer, splits.train))
    labelled = [(splits.train.texts[at], splits.train.labels[at]) for at in places]
    behind = scorer.reworded(demonstrated(scorer.wording, labelled))
    plain = uncached(behind)
    texts, alone = splits.validation.texts, [Prompt("")]
    behind.score_texts(alone, texts[:16])
    started = time.perf_counter()
    expected = plain.score_texts(alone, texts)
    whole = time.perf_counter() - started
    return {
        "shared": timed(lambda: behind.score_texts(alone, texts)),
        "plain": whole,
        "apart": float((behind.score_texts(alone, texts) - expected).abs().max()),
        "dtype": str(scorer.model.dtype).removeprefix("torch."),
    }


def candidates() -> dict[str, Any]:
    """Candidates times texts a second, by texts of one snippet and of five."""
    scorer = load_scorer(MODEL, TASK, 16)
    snippets = [as_text(text) for text in movie_splits().train.texts]
    five = [" ".join(snippets[start : start + 5]) for start in range(0, 5 * TEXTS, 5)]
    generator = torch.Generator().manual_seed(SEED)
    tried = [
        hard_prompt(tuple(ids), "suffix", scorer.model)
        for ids in torch.randint(500, 5000, (CANDIDATES, TOKENS), generator=generator).tolist()
    ]
    found = {}
    for name, texts in (("snippets", snippets[:TEXTS]), ("five snippets", five)):
        tokens = scorer.tokenize(texts)
        scorer.log_probs(tried, tokens)
        ours = timed(functools.partial(scorer.log_probs, tried, tokens))
        started = time.perf_counter()
        plain = _plainly(scorer, tried, texts)
        theirs = time.perf_counter() - started
        apart = float((scorer.log_probs(tried, tokens) - plain).abs().max())
        count = CANDIDATES * TEXTS
        found[name] = {"ours": count / ours, "plain": count / theirs, "apart": apart}
    return found


@torch.no_grad()
def _plainly(scorer: Scorer, tried: list[Prompt], texts: list[str]) -> Tensor:
    """[N, B, L] by whole inputs in batches, as a script over transformers would."""
    model: Any = scorer.model.model
    scorer.model.keep_logits_of(None)
    question = scorer.task.question
    words = [ids[0] for ids in scorer.task.readout.spoken]
    head = ids_of(question.template.head, scorer.model.tokenizer)
    rows = []
    for prompt in tried:
        scores = []
        whole = [(*ids, *prompt.token_ids, *question.tail_ids) for ids in question.read(texts)]
        assert all(ids[: len(head) - 1] == head[:-1] for ids in whole)
        order = sorted(range(len(whole)), key=lambda place: len(whole[place]))
        for start in range(0, len(order), BATCH):
            part = [whole[place] for place in order[start : start + BATCH]]
            width = max(map(len, part))
            # Padded on the left, so that the answer's logits are the last ones.
            ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in part])
            mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in part])
            logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=1).logits
            scores.append(logits[:, -1, words].float())
        block = torch.cat(scores)
        rows.append(torch.empty_like(block).index_copy_(0, torch.tensor(order), block))
    return torch.log_softmax(torch.stack(rows), dim=-1)


def racing() -> dict[str, Any]:
    """The same searches for words with candidates that race, and with all of them compared on every
    text of a race."""
    scorer = load_scorer(MODEL, TASK, 16)
    examples = movie_examples(scorer)
    found: dict[str, Any] = {}
    for name, chance in (("raced", Swaps.chance), ("not raced", 0.0)):
        races: list[Racing] = []

        def noted(*arguments: Any, races: list[Racing] = races) -> Racing:
            races.append(Racing(*arguments))
            return races[-1]

        with (
            mock.patch.object(Swaps, "chance", chance),
            mock.patch("autoprompt.workers.tuners.hard.Racing", noted),
        ):
            ended = [
                progress
                for seed in SEEDS
                for progress in tune(
                    SWAPS.model_copy(update={"seed": seed, "data_seed": seed}),
                    scorer,
                    examples,
                    (1.0,),
                )
            ]
        prompts = [progress.prompt for progress in ended]
        losses = scorer.losses(prompts, examples.train, examples.train_labels)
        found[name] = {
            "scored": sum(race.scored for race in races),
            "asked": sum(race.asked for race in races),
            "scores": [progress.score for progress in ended],
            "losses": losses.mean(1).tolist(),
        }
    return found


def label_words() -> dict[str, Any]:
    """Seconds of asking the model once, and of scoring 10,000 pairs by what it said."""
    scorer = load_scorer(MODEL, TASK, 16)
    train = movie_splits().train
    before = scorer.cache.encoded
    started = time.perf_counter()
    said = label_search.asked(scorer, train.texts, train.labels)
    asked = time.perf_counter() - started
    started = time.perf_counter()
    sets = label_search.proposed(
        said, scorer.task.answers.names, Proposals(propose=4, candidates=100, words=1)
    )
    return {
        "asked": asked,
        "proposed": time.perf_counter() - started,
        "texts": len(train),
        "encoded": scorer.cache.encoded - before,
        "pairs": 100 * 100,
        "best": sets[0],
    }


if __name__ == "__main__":
    parts = {each.__name__: each for each in (demonstrations, candidates, racing, label_words)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=parts)
    print(json.dumps(parts[parser.parse_args().part]()))
