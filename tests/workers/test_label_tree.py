"""Label words as a tree: what constrained decoding would say of them, and at which price."""

import math
from collections import defaultdict
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.answers.word_readout import Word, WordReadout, told_apart
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.prompt import Prompt, lay
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import Task, TaskSpec, build_task
from autoprompt.workers.text_states import TokenIds
from tests.tiny import TEXTS

#: Forks at the root, behind one word, and behind two; a label of several words, two of which begin
#: alike; a word that another one of its label goes on.
WORDS = {
    "long": ["far too long", "far too long indeed"],
    "flat": "far too flat",
    "mess": "far from a mess",
    "joyless": "far from a joy",
    "life": ["full of life", "full of warm life"],
    "heart": "full moving",
    "joy": ["a joy", "great"],
}
TEMPLATE = "Review: {text}\nSentiment:"
TOLERANCE = 1e-5


def task_of(model: FrozenModel, words: Any = WORDS, scoring: str = "tree", **more: Any) -> Task:
    content = {"template": TEMPLATE, "label_words": words, "label_scoring": scoring} | more
    return build_task(TaskSpec.model_validate(content), model.tokenizer, model.family)


def plain(scorer: Scorer) -> Scorer:
    other = Scorer(scorer.model, scorer.task, longest_prompt=8)
    other.family._trusts_cache = False
    return other


def decoded(model: FrozenModel, words: list[list[TokenIds]], before: TokenIds) -> Tensor:
    """[L], by constrained decoding: every node is asked by itself, in a pass over what stands
    before it, and chooses among its children. A word that its label's others go on counts as all
    that goes on from it."""
    model.keep_logits_of(None)
    children: dict[TokenIds, set[int]] = defaultdict(set)
    everything = {ids for label in words for ids in label}
    for ids in everything:
        for end in range(len(ids)):
            children[ids[:end]].add(ids[end])

    def log_prob(ids: TokenIds) -> float:
        total = 0.0
        for end, token in enumerate(ids):
            among = sorted(children[ids[:end]])
            logits = model.model(input_ids=torch.tensor([[*before, *ids[:end]]])).logits[0, -1]
            total += float(logits.double()[among].log_softmax(0)[among.index(token)])
        return total

    totals = []
    for label in words:
        ends = [ids for ids in label if ids not in children]
        begun = [ids for ids in label if ids in children]
        for ids in begun:
            assert any(end[: len(ids)] == ids for end in ends), "another label's"
        totals.append(math.log(sum(math.exp(log_prob(ids)) for ids in set(ends))))
    return torch.tensor(totals)


def ids_by_label(task: Task, words: dict[str, Any], model: FrozenModel) -> list[list[TokenIds]]:
    """Every word's tokens as they stand behind the template, tokenized here by itself."""
    end = "\nSentiment:"
    known = model.tokenizer(end, add_special_tokens=False).input_ids
    spelled = []
    for given_words in words.values():
        texts = [given_words] if isinstance(given_words, str) else given_words
        own = model.tokenizer([f"{end} {text}" for text in texts], add_special_tokens=False)
        spelled.append([tuple(ids[len(known) :]) for ids in own.input_ids])
    return spelled


@pytest.mark.parametrize("position", ["suffix", "prefix", "both", "end"])
def test_labels_are_as_probable_as_in_constrained_decoding(
    position: Position, tiny_model: FrozenModel
) -> None:
    """Packed, cached or not, plain in one pass, and plain path by path."""
    task = task_of(tiny_model)
    words = ids_by_label(task, WORDS, tiny_model)
    assert max(len(ids) for label in words for ids in label) > 3
    scorer = Scorer(tiny_model, task, longest_prompt=8)
    texts = scorer.tokenize(["the film is a joy", "the plot is far too long", "dull"])
    front = 1 if position == "both" else 0
    prompts = [
        Prompt("", (5, 6), position=position, front=front),
        Prompt("", (7, 9, 8), position=position, front=front),
    ]
    tail = task.question.tail_ids
    expected = torch.empty(len(prompts), len(texts), len(WORDS))
    for n, prompt in enumerate(prompts):
        for b, text in enumerate(texts):
            ids = prompt.token_ids
            before = {
                "suffix": (*text, *ids, *tail),
                "prefix": (*ids, *text, *tail),
                "both": (*ids[:1], *text, *ids[1:], *tail),
                "end": (*text, *tail, *ids),
            }[position]
            expected[n, b] = decoded(tiny_model, words, before)
    assert expected.std() > 0.1
    torch.testing.assert_close(expected.exp().sum(-1), torch.ones(2, 3), atol=1e-6, rtol=0)
    cached = scorer.log_probs(prompts, texts)
    assert scorer.family.trusts_cache(texts), scorer.family.distrust
    torch.testing.assert_close(cached, expected, atol=TOLERANCE, rtol=0)
    once = Scorer(tiny_model, task, longest_prompt=8).log_probs(prompts, texts, once=True)
    torch.testing.assert_close(once, expected, atol=TOLERANCE, rtol=0)
    trusting_nothing = plain(scorer)
    by_paths = trusting_nothing.log_probs(prompts, texts)
    assert trusting_nothing.cache.encoded == 0
    torch.testing.assert_close(by_paths, expected, atol=TOLERANCE, rtol=0)


def test_before_the_text_the_tree_is_read_in_one_pass(
    tiny_model: FrozenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is trained, gradients and all; once it is settled that the model heeds a mask."""
    scorer = Scorer(tiny_model, task_of(tiny_model), longest_prompt=4)
    texts = scorer.tokenize(["the film is a joy", "dull"])
    assert len(list(scorer.task.readout.branches.paths())) > 2

    def gradient(chosen: Scorer) -> Tensor:
        vectors = torch.linspace(-0.5, 0.5, 2 * 32).reshape(2, 32).requires_grad_()
        chosen.label_logits([lay(vectors, "prefix")], texts)[0, :, 0].sum().backward()
        assert vectors.grad is not None
        return vectors.grad

    expected = gradient(plain(scorer))
    assert expected.abs().max() > 1e-3
    gradient(scorer)
    passes: list[int] = []
    whole = tiny_model.model.forward
    monkeypatch.setattr(
        tiny_model.model, "forward", lambda **asked: passes.append(1) or whole(**asked)
    )
    torch.testing.assert_close(gradient(scorer), expected, atol=1e-4, rtol=1e-3)
    assert len(passes) == 1


@pytest.mark.parametrize("scoring", ["sum", "mean"])
def test_full_probabilities_share_what_begins_alike(scoring: str, tiny_model: FrozenModel) -> None:
    """Each token of the trie is read once, and the scores are those of words read one by one."""
    task = task_of(tiny_model, scoring=scoring)
    words = ids_by_label(task, WORDS, tiny_model)
    spelled = [ids[:-1] for label in words for ids in label]
    assert len(task.readout.branches) < sum(map(len, spelled))
    scorer = Scorer(tiny_model, task, longest_prompt=8)
    texts = scorer.tokenize(["the film is a joy", "dull"])
    scores = scorer.log_probs([Prompt("", (5, 6))], texts)[0]
    tiny_model.keep_logits_of(None)
    for text, found in zip(texts, scores, strict=True):
        before = (*text, 5, 6, *task.question.tail_ids)
        totals = []
        for label in words:
            logs = []
            for ids in label:
                logits = tiny_model.model(input_ids=torch.tensor([[*before, *ids]])).logits[0]
                rows = logits[len(before) - 1 : -1].log_softmax(-1)
                logs.append(rows[range(len(ids)), list(ids)])
            totals.append(
                torch.stack([row.mean() if scoring == "mean" else row.sum() for row in logs])
            )
        expected = torch.stack([each.logsumexp(0) for each in totals]).log_softmax(0)
        torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


def test_where_first_tokens_differ_it_is_the_first_token(tiny_model: FrozenModel) -> None:
    """Nothing is read behind the question then, however long the words are."""
    words = {"a": ["full of life", "full moving"], "b": "without a pulse", "c": "tiresome"}
    tree, first = (task_of(tiny_model, words, scoring) for scoring in ("tree", "first_token"))
    assert not tree.readout.branches
    assert tree.readout.kept == first.readout.kept
    assert tree.readout.spoken != first.readout.spoken
    texts = [row["text"] for row in TEXTS[:9]]
    prompts = [Prompt("", (5, 6)), Prompt("", (7,), position="prefix")]
    ours, theirs = (
        Scorer(tiny_model, task, longest_prompt=4).score_texts(prompts, texts)
        for task in (tree, first)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_only_forks_are_asked_and_only_what_leads_to_them_is_read(tiny_model: FrozenModel) -> None:
    """What stands behind the last fork, or belongs to one label alone, costs nothing."""
    task = task_of(tiny_model)
    one = tiny_model.tokenizer(" far too long indeed", add_special_tokens=False).input_ids
    other = tiny_model.tokenizer(" far too flat", add_special_tokens=False).input_ids
    shared = next(end for end, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    assert task.readout.branches.places[tuple(one[:shared])] >= 0
    assert tuple(one[: shared + 1]) not in task.readout.branches.places
    assert task.readout.kept is not None
    assert one[-1] not in task.readout.kept


CHAINS = st.lists(
    st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple), min_size=2, max_size=12
)


def local(words: list[Word], at: dict[TokenIds, Tensor]) -> list[float]:
    """[L], by recursion over the whole tree of the words, without a shortcut."""
    totals: dict[int, float] = defaultdict(float)

    def walk(node: TokenIds, mass: float) -> None:
        below = [word for word in words if word.ids[: len(node)] == node]
        if any(word.ids == node for word in below):
            assert len({word.label for word in below}) == 1
            totals[below[0].label] += mass
            return
        children = sorted({word.ids[len(node)] for word in below})
        shares = at[node][children].softmax(0)
        for child, share in zip(children, shares.tolist(), strict=True):
            walk((*node, child), mass * share)

    walk((), 1.0)
    return [totals[label] for label in sorted(totals)]


@settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(CHAINS, st.data())
def test_random_trees(chains: list[TokenIds], data: st.DataObject) -> None:
    """Any words of any labels, of which none begins another label's."""
    count = data.draw(st.integers(2, 4))
    words: list[Word] = []
    for ids in dict.fromkeys(chains):
        label = data.draw(st.integers(0, count - 1))
        clash = [
            word
            for word in words
            if word.label != label and word.ids[: len(ids)] == ids[: len(word.ids)]
        ]
        if not clash:
            words.append(Word(label, ids))
    order = {label: place for place, label in enumerate(sorted({word.label for word in words}))}
    words = [Word(order[word.label], word.ids) for word in words]
    if len(order) < 2:
        return
    readout = WordReadout([str(label) for label in order], words, "tree")
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    beginnings = {word.ids[:end] for word in words for end in range(len(word.ids))}
    at = {
        ids: 3 * torch.randn(4, generator=generator, dtype=torch.float64)
        for ids in sorted(beginnings)
    }
    assert readout.kept is not None
    rows = sorted(readout.branches.places.items(), key=lambda item: item[1])
    logits = torch.stack([at[ids][readout.kept] for ids, _ in rows])
    scores = readout(logits[None, None])[0, 0]
    torch.testing.assert_close(scores.exp().tolist(), local(words, at), atol=1e-9, rtol=1e-9)
    # Nothing is read that no fork needs.
    inner = {ids[:end] for ids in readout.branches.places for end in range(len(ids) + 1)}
    for ids in inner:
        labels = {word.label for word in words if word.ids[: len(ids)] == ids}
        assert len(labels) > 1


def test_words_are_cut_where_one_label_remains() -> None:
    words = [
        Word(0, (1, 2, 3)),
        Word(0, (1, 2)),
        Word(1, (1, 4, 5)),
        Word(2, (6, 7)),
        Word(2, (6,)),
    ]
    assert told_apart(words) == (Word(0, (1, 2)), Word(1, (1, 4)), Word(2, (6,)))


@pytest.mark.parametrize(
    ("scoring", "words", "complaint"),
    [
        (
            "tree",
            {"a": "great", "b": ["dull", " great"]},
            "task.label_words: 'great' (a) and ' great' (b) are the same tokens to this model; "
            "choose other words",
        ),
        (
            "mean",
            {"a": "great", "b": "great"},
            "task.label_words: 'great' (a) and 'great' (b) are the same tokens to this model; "
            "choose other words",
        ),
        (
            "tree",
            {"a": "far too long", "b": "dull", "c": "far"},
            "task.label_words: 'far too long' (a) goes on where 'far' (c) ends, and no token tells "
            "that a word ends; choose other words, or set task.label_scoring to mean",
        ),
        (
            "first_token",
            {"a": "far too long", "b": "far from dull"},
            "task.label_words: 'far too long' (a) and 'far from dull' (b) begin with the same "
            "token ' far'; choose other words, or set task.label_scoring to tree",
        ),
        (
            "first_token",
            {"a": "far too long", "b": "far"},
            "task.label_words: 'far too long' (a) and 'far' (b) begin with the same token ' far'; "
            "choose other words, or set task.label_scoring to mean",
        ),
        (
            "first_token",
            {"a": "far", "b": "far"},
            "task.label_words: 'far' (a) and 'far' (b) are the same tokens to this model; choose "
            "other words",
        ),
    ],
)
def test_words_that_cannot_be_told_apart(
    scoring: str, words: dict[str, Any], complaint: str, tiny_model: FrozenModel
) -> None:
    with pytest.raises(ConfigError) as caught:
        task_of(tiny_model, words, scoring)
    assert str(caught.value) == complaint


def test_a_word_may_go_on_another_one_of_its_label(tiny_model: FrozenModel) -> None:
    words = {"a": ["far", "far too long"], "b": "full of life"}
    task = task_of(tiny_model, words)
    scores = Scorer(tiny_model, task, longest_prompt=4).score_texts([Prompt("")], ["dull"])
    first = task_of(tiny_model, {"a": "far", "b": "full of life"})
    alone = Scorer(tiny_model, first, longest_prompt=4).score_texts([Prompt("")], ["dull"])
    torch.testing.assert_close(scores, alone, atol=1e-6, rtol=0)
