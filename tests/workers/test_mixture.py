"""Several tasks in one pass: each hears what it would hear alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.mixture import Mixture, Panel
from autoprompt.workers.prompt import Prompt, kv_prompt, soft_prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import Task, TaskSpec, build_task
from autoprompt.workers.text_states import KeysAndValues
from tests.tiny import TEXTS

GIVEN = [row["text"] for row in TEXTS[:9]]


def task(model: FrozenModel, **spec: Any) -> Task:
    return build_task(TaskSpec.model_validate(spec), model.tokenizer)


@pytest.fixture
def panels(tiny_model: FrozenModel) -> list[Panel]:
    """Heads that are alike and not, words of one token and several, prompts of every kind."""
    words = {"a": ["dull", "flat"], "b": "bright", "c": "moving"}
    tasks = [
        task(
            tiny_model, template="Review: {text}\nSentiment:", label_words={"n": "dull", "p": "a"}
        ),
        task(tiny_model, template="Review: {text} It was", label_words=words),
        task(tiny_model, template="{text}, all in all", label_words={"n": "dull", "p": "warm"}),
        task(
            tiny_model,
            template="Review: {text} in short",
            label_words={"n": "without a pulse", "p": "full of life"},
            label_scoring="mean",
        ),
    ]
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(3, tiny_model.hidden_size, generator=generator)
    prompts = [
        Prompt("", (5, 6, 7)),
        soft_prompt(vectors, "suffix", tiny_model),
        soft_prompt(vectors[:2], "prefix", tiny_model),
        soft_prompt(vectors[1:], "end", tiny_model),
        Prompt("", (7, 5), position="end"),
        Prompt("", (9, -1, 8), vectors[:1]),
        Prompt(""),
    ]
    made = []
    for each in tasks:
        prior = tuple(torch.randn(each.readout.size, generator=generator).tolist())
        made.append(Panel(each, [*prompts, replace(prompts[0], prior=prior)], 8))
    return made


def test_together_as_alone(
    panels: list[Panel], tiny_model: FrozenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoprompt.workers.batches._TEXTS_PER_WINDOW", 4)
    together = Mixture(tiny_model, panels).score_texts(GIVEN)
    for panel, found in zip(panels, together, strict=True):
        alone = Scorer(tiny_model, panel.task, panel.longest_prompt)
        expected = alone.log_probs(panel.prompts, alone.tokenize(GIVEN))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_tasks_that_begin_alike_share_one_pass(
    panels: list[Panel], tiny_model: FrozenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixture = Mixture(tiny_model, [replace(each, prompts=each.prompts[:2]) for each in panels[:2]])
    mixture.score_texts(GIVEN[:1])
    passes = []
    honest = tiny_model.logits

    def counted(*arguments: Any, **options: Any) -> Any:
        passes.append(arguments)
        return honest(*arguments, **options)

    monkeypatch.setattr(tiny_model, "logits", counted)
    mixture.score_texts(GIVEN)
    # One over the texts, one for what stands behind them.
    assert len(passes) == 2


def test_prompts_that_fill_several_passes_read_a_text_once(
    tiny_model: FrozenModel, tiny_task: Task
) -> None:
    scorer = Scorer(tiny_model, tiny_task, longest_prompt=16)
    prompts = [Prompt("", (5 + number,) * 16) for number in range(20)]
    texts = scorer.tokenize(GIVEN)
    expected = scorer.log_probs(prompts[:2], texts, once=True)
    found = scorer.log_probs(prompts, texts, once=True)
    assert scorer.cache.encoded == len(set(texts))
    torch.testing.assert_close(found[:2], expected, atol=1e-4, rtol=1e-4)


def test_each_panel_is_asked_of_its_own_texts(
    panels: list[Panel], tiny_model: FrozenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoprompt.workers.batches._TEXTS_PER_WINDOW", 4)
    mixture = Mixture(tiny_model, panels)
    everything = mixture.score_texts(GIVEN)
    asked: list[list[int]] = [[0, 3, 8], [4, 1], [], [8, 2, 0, 5]]
    found = mixture.score_texts(GIVEN, asked=asked)
    for whole, own, places in zip(everything, found, asked, strict=True):
        torch.testing.assert_close(own, whole[:, places], atol=1e-4, rtol=1e-4)


def test_texts_of_several_tasks_share_one_pass_and_none_is_asked_for_another(
    panels: list[Panel], tiny_model: FrozenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixture = Mixture(tiny_model, [replace(each, prompts=each.prompts[:2]) for each in panels[:2]])
    mixture.score_texts(GIVEN[:1])
    tokens = []
    honest = tiny_model.logits

    def counted(keep: Any, **arguments: Any) -> Any:
        tokens.append(arguments["inputs_embeds"].shape[:2].numel())
        return honest(keep, **arguments)

    monkeypatch.setattr(tiny_model, "logits", counted)
    mixture.score_texts(GIVEN, asked=[range(len(GIVEN)), []])
    mixture.score_texts(GIVEN, asked=[[], range(len(GIVEN))])
    alone = tokens[1] + tokens[3]
    assert len(tokens) == 4
    tokens.clear()
    mixture.score_texts([*GIVEN, *GIVEN], asked=[range(len(GIVEN)), range(len(GIVEN), 18)])
    assert len(tokens) == 2
    assert tokens[1] == alone


def test_kv_prompts_of_several_templates_read_a_text_once(
    panels: list[Panel], tiny_model: FrozenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The texts in one pass, and for each template its words, then what the prompts ask."""
    shape = KeysAndValues(tiny_model).row_shape
    assert shape is not None
    drawn = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(1)) / 2
    prior = (0.1, 0.2, 0.3, 0.4, 0.5)
    kv = [
        replace(
            each,
            prompts=[
                kv_prompt(drawn[0], "end"),
                replace(kv_prompt(drawn[1, :2], "end"), prior=prior[: each.task.readout.size]),
            ],
        )
        for each in panels
    ]
    mixture = Mixture(tiny_model, kv)
    mixture.score_texts(GIVEN[:2])
    lengths = []
    honest = tiny_model.logits

    def counted(keep: Any, **arguments: Any) -> Any:
        lengths.append(arguments["inputs_embeds"].shape[1])
        return honest(keep, **arguments)

    with monkeypatch.context() as patch:
        patch.setattr(tiny_model, "logits", counted)
        together = mixture.score_texts(GIVEN)
    for panel, found in zip(kv, together, strict=True):
        alone = Scorer(tiny_model, panel.task, panel.longest_prompt)
        expected = alone.log_probs(panel.prompts, alone.tokenize(GIVEN))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    texts = alone.tokenize(GIVEN)
    longest = max(map(len, texts))
    tails = [len(panel.task.question.tail_ids) for panel in kv if panel is not kv[2]]
    # The texts, then each template's words and what is asked behind them; the third panel begins
    # otherwise and reads its own.
    assert len(lengths) == 9
    assert (lengths[0], lengths[1:6:2]) == (longest, tails)
