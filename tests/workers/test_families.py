"""One suite for all families of models: what holds whoever answers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from autoprompt.search_spaces import AnyPlan, HardPlan, MixedPlan, SoftPlan
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.search_spaces.kind_spaces import Layout
from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.prompt import VIRTUAL, Prompt, hard_prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import TaskSpec, build_task
from autoprompt.workers.tuners import Examples, tune
from autoprompt.workers.tuners.inits import phrase_tokens
from tests import tiny
from tests.tiny import TEXTS
from tests.workers.test_frozen_model import parameters_digest

LABEL_WORDS = {"negative": "dull", "positive": "great"}

#: Cached and plain differ by the order of float32 additions only.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Kind:
    """A family's tiny model, a template that suits it, the special tokens that stand around an
    input and that begin the decoder's, and where its prompts may stand."""

    name: str
    save: Callable[[Path], Path]
    template: str
    family: str
    begin: tuple[int, ...] = ()
    end: tuple[int, ...] = ()
    decoder: tuple[int, ...] = ()
    positions: tuple[Position, ...] = ("suffix", "prefix", "both", "end")
    cached: tuple[Position, ...] = ()


ANYWHERE: tuple[Position, ...] = ("suffix", "prefix", "both", "end")
CLOZE = "Review: {text} It was {mask}."
KINDS = [
    Kind(
        "llama",
        tiny.save_tiny_model,
        "Review: {text}\nSentiment:",
        "causal",
        cached=("suffix", "end"),
    ),
    Kind("bert", tiny.save_tiny_bert, CLOZE, "masked", (2,), (3,)),
    Kind("roberta", tiny.save_tiny_roberta, "A {mask} review: {text}.", "masked", (0,), (2,)),
    Kind(
        "t5",
        tiny.save_tiny_t5,
        CLOZE,
        "seq2seq",
        (),
        (1,),
        (0, 3),
        (*ANYWHERE, "decoder"),
        ("decoder",),
    ),
    Kind(
        "bart",
        tiny.save_tiny_bart,
        "Review: {text} Sentiment:",
        "seq2seq",
        (0,),
        (2,),
        (2, 0),
        (*ANYWHERE, "decoder"),
        ("decoder",),
    ),
]
LAYOUTS: dict[Position, Layout] = {
    "suffix": "{text}{soft}{hard}",
    "prefix": "{soft}{hard}{text}",
    "both": "{hard}{text}{soft}",
}
PLACES = [(kind, position) for kind in KINDS for position in kind.positions]


@pytest.fixture(scope="module")
def scorers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], Scorer]:
    """A fresh scorer over each kind's model, which is loaded once."""
    loaded: dict[str, FrozenModel] = {}

    def scorer(kind: Kind) -> Scorer:
        if kind.name not in loaded:
            folder = kind.save(tmp_path_factory.mktemp(kind.name) / "model")
            loaded[kind.name] = load_model(ModelSpec(path=str(folder), dtype="float32"))
        model = loaded[kind.name]
        assert model.family == kind.family
        spec = TaskSpec.model_validate({"template": kind.template, "label_words": LABEL_WORDS})
        task = build_task(spec, model.tokenizer, model.family)
        return Scorer(model, task, longest_prompt=8)

    return scorer


def prompts_at(position: Position) -> list[Prompt]:
    """A hard, a soft and a mixed prompt, of different lengths."""
    vectors = torch.linspace(-1, 1, 4 * 32).reshape(4, 32)
    front = 2 if position == "both" else 0
    return [
        Prompt("", (15, 16, 17), position=position, front=front),
        Prompt("", vectors=vectors, position=position, front=front),
        Prompt("", (15, VIRTUAL, 17, VIRTUAL, 18), vectors[1:3], position, front),
    ]


def by_hand(kind: Kind, scorer: Scorer, prompt: Prompt, text: str) -> Tensor:
    """[L]: one text beside one prompt, laid out here by itself, through transformers' own call."""
    model, task = scorer.model.model, scorer.task
    tokenizer = scorer.model.tokenizer
    scorer.model.keep_logits_of(None)
    embed = model.get_input_embeddings()

    def tokens(written: str) -> list[int]:
        return list(tokenizer(written, add_special_tokens=False).input_ids)

    def vectors(*ids: int) -> list[Tensor]:
        return list(embed(torch.tensor(ids, dtype=torch.long)))

    soft = iter([] if prompt.vectors is None else prompt.vectors)
    slots = [next(soft) if token == VIRTUAL else vectors(token)[0] for token in prompt.token_ids]
    cut = {"prefix": len(prompt), "both": prompt.front}.get(prompt.position, 0)
    front, back = slots[:cut], slots[cut:]
    end = slots if prompt.position == "end" else []
    decoder = vectors(*kind.decoder) + (slots if prompt.position == "decoder" else [])
    back = [] if prompt.position in ("end", "decoder") else back
    head = vectors(*kind.begin)
    # A prefix stands before everything; what a masked model begins with stays the first.
    head = head + front if kind.family == "masked" else front + head
    body = vectors(*tokens(task.question.template.head + text))
    tail = vectors(*tokens("good" + task.question.template.tail)[len(tokens("good")) :])
    inputs = torch.stack([*head, *body, *back, *tail, *end, *vectors(*kind.end)])
    if kind.family == "seq2seq":
        outputs = model(
            inputs_embeds=inputs[None], decoder_inputs_embeds=torch.stack(decoder)[None]
        )
        logits = outputs.logits[0, -1]
    else:
        logits = model(inputs_embeds=inputs[None]).logits[0, -1]
    if kind.family == "masked":
        mask = vectors(tokenizer.mask_token_id)[0]
        (at,) = (inputs == mask).all(-1).nonzero()
        logits = model(inputs_embeds=inputs[None]).logits[0, int(at)]
    return torch.log_softmax(logits[list(task.readout.starts)].float(), dim=-1).detach()


@pytest.mark.parametrize(("kind", "position"), PLACES, ids=lambda each: getattr(each, "name", each))
def test_scores_are_those_of_the_model_called_by_hand(
    kind: Kind, position: Position, scorers: Callable[[Kind], Scorer]
) -> None:
    scorer = scorers(kind)
    texts = ["the film is a joy", "dull", "the camera work is without a pulse"]
    prompts = [*prompts_at(position), Prompt("")]
    expected = torch.stack(
        [torch.stack([by_hand(kind, scorer, prompt, text) for text in texts]) for prompt in prompts]
    )
    assert expected.std() > 0.01, "prompts that change nothing would prove nothing"
    tokens = scorer.tokenize(texts)
    found = scorer.log_probs(prompts, tokens)
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(scorer.score_texts(prompts, texts), expected, atol=TOLERANCE, rtol=0)
    assert (scorer.cache.encoded > 0) == bool(kind.cached)


@pytest.mark.parametrize(("kind", "position"), PLACES, ids=lambda each: getattr(each, "name", each))
def test_gradients_of_the_cached_path_equal_the_plain_ones(
    kind: Kind, position: Position, scorers: Callable[[Kind], Scorer]
) -> None:
    def gradient(scorer: Scorer) -> Tensor:
        prompt = prompts_at(position)[2]
        assert prompt.vectors is not None
        vectors = prompt.vectors.clone().requires_grad_()
        laid = prompt.embedded(scorer.model, vectors)
        texts = scorer.tokenize([row["text"] for row in TEXTS[:9]])
        scorer.label_logits([laid], texts)[0, :, 0].sum().backward()
        assert vectors.grad is not None
        return vectors.grad

    plain = scorers(kind)
    plain.family._trusts_cache = False
    expected = gradient(plain)
    assert plain.cache.encoded == 0
    assert expected.abs().max() > 1e-3
    reusing = scorers(kind)
    torch.testing.assert_close(gradient(reusing), expected, atol=1e-4, rtol=1e-3)
    assert (reusing.cache.encoded > 0) == (position in kind.cached)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_texts_score_does_not_depend_on_its_neighbours(
    kind: Kind, scorers: Callable[[Kind], Scorer], data: st.DataObject
) -> None:
    position = data.draw(st.sampled_from(kind.positions))
    rows = data.draw(st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=8))
    more = data.draw(st.lists(st.text("abc .", min_size=1, max_size=60), max_size=3))
    scorer = scorers(kind)
    texts = scorer.tokenize([TEXTS[row]["text"] for row in rows] + more)
    prompts = prompts_at(position)
    together = scorer.log_probs(prompts, texts)
    for index, text in enumerate(texts):
        alone = scorer.log_probs(prompts[1:2], [text])
        torch.testing.assert_close(together[1, index], alone[0, 0], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_text_is_cut_so_that_prompt_and_template_fit(
    kind: Kind, scorers: Callable[[Kind], Scorer]
) -> None:
    scorer = scorers(kind)
    texts = scorer.tokenize(["the film is a joy", "very long indeed " * 100])
    assert scorer.truncated == (scorer.model.context_length is not None)
    if scorer.model.context_length is not None:
        task = scorer.task
        assert scorer.model.context_length == tiny.CONTEXT_LENGTH
        taken = len(texts[1]) + 8 + len(task.question.tail_ids) + len(task.question.end_ids)
        assert taken == tiny.CONTEXT_LENGTH
    longest = Prompt("", tuple(range(15, 23)), position="prefix")
    assert torch.isfinite(scorer.log_probs([longest], texts)).all()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_tuner_learns_at_every_position_and_leave_the_model_alone(
    kind: Kind, scorers: Callable[[Kind], Scorer]
) -> None:
    scorer = scorers(kind)
    frozen = parameters_digest(scorer.model)
    rows = TEXTS[::7]  # as many as a batch has, so that what is learned is what is judged
    texts = scorer.tokenize([row["text"] for row in rows])
    labels = torch.tensor([int(row["label"] == "positive") for row in rows])
    examples = Examples(texts, labels, texts, labels)

    def loss(prompt: Prompt) -> float:
        scores = scorer.log_probs([prompt], examples.validation)[0]
        return float(torch.nn.functional.nll_loss(scores, examples.validation_labels))

    for position in kind.positions:
        soft = SoftPlan(
            seed=1,
            length=4,
            init="labels",
            learning_rate=0.1,
            steps=20,
            batch_size=16,
            position=position,
        )
        hard = HardPlan(
            seed=1,
            tokens=4,
            start="in short the film",
            candidates=8,
            rounds=6,
            batch_size=16,
            position=position,
        )
        phrase = hard.start if position == "prefix" else f" {hard.start}"
        ids = tuple(phrase_tokens(phrase, 4, scorer.model))
        start = hard_prompt(ids, position, scorer.model, 2 if position == "both" else 0)
        plans: list[tuple[AnyPlan, float]] = [(soft, loss(Prompt(""))), (hard, loss(start))]
        if position in LAYOUTS:
            mixed = MixedPlan(
                **soft.model_dump(exclude={"kind", "position"}),
                layout=LAYOUTS[position],
                tokens=3,
                start=hard.start,
                candidates=4,
                swap_every=4,
            )
            plans.append((mixed, loss(Prompt(""))))
        for plan, before in plans:
            (progress,) = tune(plan, scorer, examples, (1.0,))
            assert progress.loss < before, f"{plan.kind} at {position} learned nothing"
            assert (progress.prompt.kind, progress.prompt.position) == (plan.kind, position)
            assert Prompt.from_bytes(progress.prompt.to_bytes()).digest == progress.prompt.digest
    assert parameters_digest(scorer.model) == frozen


def test_a_word_of_several_tokens_is_spelled_out_behind_a_decoder(
    scorers: Callable[[Kind], Scorer],
) -> None:
    model = scorers(KINDS[3]).model
    words = {"negative": "far too long", "positive": ["a joy", "great"]}
    spec = TaskSpec.model_validate(
        {"template": "{text}", "label_words": words, "label_scoring": "sum"}
    )
    task = build_task(spec, model.tokenizer, "seq2seq")
    assert task.readout.branches
    scorer = Scorer(model, task, longest_prompt=4)
    ids = scorer.tokenize(["the film is a joy"])
    found = scorer.log_probs([Prompt("")], ids)[0, 0]
    model.keep_logits_of(None)
    totals = []
    for label in range(2):
        sums = []
        for word in [word for word in task.readout.words if word.label == label]:
            decoder = torch.tensor([[0, *word.ids[:-1]]])
            logits = model.model(input_ids=torch.tensor([[*ids[0], 1]]), decoder_input_ids=decoder)
            log_probs = torch.log_softmax(logits.logits[0].float(), dim=-1)
            sums.append(sum(log_probs[at, token] for at, token in enumerate(word.ids)))
        totals.append(torch.logsumexp(torch.tensor([float(each) for each in sums]), 0))
    expected = torch.log_softmax(torch.stack(totals), dim=0)
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("kind", [KINDS[3], KINDS[4]], ids=lambda kind: kind.name)
@pytest.mark.parametrize("position", ["decoder", "prefix"])
def test_a_decoder_chooses_among_words_alone(
    kind: Kind, position: Position, scorers: Callable[[Kind], Scorer]
) -> None:
    """`tree` behind a decoder: every fork asked by itself, among the words that part there."""
    model = scorers(kind).model
    words = {"a": "far too long", "b": "far too flat", "c": "far a joy", "d": "great"}
    spec = TaskSpec.model_validate(
        {"template": "{text}", "label_words": words, "label_scoring": "tree"}
    )
    task = build_task(spec, model.tokenizer, "seq2seq")
    assert len(list(task.readout.branches.paths())) == 1
    assert len(task.readout.branches) >= 2
    scorer = Scorer(model, task, longest_prompt=4)
    texts = scorer.tokenize(["the film is a joy", "dull"])
    prompt = Prompt("", (15, 16), position=position)
    scores = scorer.log_probs([prompt], texts)[0]
    model.keep_logits_of(None)
    spoken = task.readout.spoken
    for text, found in zip(texts, scores, strict=True):
        reads = [*(prompt.token_ids if position == "prefix" else ()), *text, *kind.end]
        start = [kind.decoder[0], *task.question.answer_ids]
        start += prompt.token_ids if position == "decoder" else ()
        expected = []
        for ids in spoken:
            total = torch.zeros(())
            for end, token in enumerate(ids):
                among = sorted({word[end] for word in spoken if word[:end] == ids[:end]})
                decoder = torch.tensor([[*start, *ids[:end]]])
                asked = model.model(input_ids=torch.tensor([reads]), decoder_input_ids=decoder)
                total += asked.logits[0, -1, among].float().log_softmax(0)[among.index(token)]
            expected.append(total)
        torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "template", "words", "complaint"),
    [
        (0, "{text} {mask}", LABEL_WORDS, "fills no masks: leave {mask} out"),
        (1, "{text} It was", LABEL_WORDS, "say where the label's word is asked for"),
        (4, "{text} {mask}", LABEL_WORDS, "fills no masks"),
        (1, "{text} {mask}", {"a": "great", "b": "xylophone zoo"}, "choose words of one token"),
    ],
)
def test_a_template_that_does_not_suit_the_model(
    kind: int, template: str, words: Any, complaint: str, scorers: Callable[[Kind], Scorer]
) -> None:
    model = scorers(KINDS[kind]).model
    spec = TaskSpec.model_validate({"template": template, "label_words": words})
    with pytest.raises(ConfigError) as caught:
        build_task(spec, model.tokenizer, model.family)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
