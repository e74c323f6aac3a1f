"""The artefact: what is saved is what is read, and broken bytes are noticed."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode

from autoprompt.search_spaces.errors import AutopromptError
from autoprompt.workers.embedding_table import nearest_tokens, spread
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.prompt import VIRTUAL, Prompt, by_wording, hard_prompt, soft_prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import build_task
from autoprompt.workers.wording import Wording
from tests.conftest import DEMO_TASK

SOFT = Prompt("[soft]", vectors=torch.arange(12.0).reshape(3, 4), position="prefix")
HARD = Prompt(" so, ça \u201cgood\u201d", token_ids=(3, 1, 4))


@pytest.mark.parametrize("prompt", [SOFT, HARD, Prompt("")], ids=["soft", "hard", "none"])
def test_bytes_there_and_back(prompt: Prompt) -> None:
    again = Prompt.from_bytes(prompt.to_bytes())
    assert (again.text, again.token_ids, again.position) == (
        prompt.text,
        prompt.token_ids,
        prompt.position,
    )
    assert again.kind == prompt.kind
    assert len(again) == len(prompt)
    assert again.digest == prompt.digest
    if prompt.vectors is not None:
        assert again.vectors is not None
        assert torch.equal(again.vectors, prompt.vectors)


@pytest.mark.parametrize("cut", [0, 4, 20, -3])
def test_bytes_cut_short_are_noticed(cut: int) -> None:
    with pytest.raises(AutopromptError, match="cannot be read"):
        Prompt.from_bytes(SOFT.to_bytes()[:cut])


def test_prompts_that_differ_in_what_they_do_differ_in_digest() -> None:
    assert SOFT.vectors is not None
    others = [
        Prompt("[soft]", vectors=SOFT.vectors + 1, position="prefix"),
        Prompt("[soft]", vectors=SOFT.vectors, position="suffix"),
        HARD,
    ]
    assert len({prompt.digest for prompt in [SOFT, *others]}) == 4
    assert Prompt("another name", vectors=SOFT.vectors, position="prefix").digest == SOFT.digest


def test_a_prompt_brings_its_wording_along(tiny_scorer: Scorer) -> None:
    """Bytes and a model are enough to score with: no search's configuration is asked."""
    model, wording = tiny_scorer.model, tiny_scorer.task.answers.wording
    again = Prompt.from_bytes(replace(HARD, wording=wording).to_bytes())
    assert again.wording == wording
    assert again.wording is not None
    assert again.wording.template == DEMO_TASK.template
    assert again.wording.label_words == DEMO_TASK.label_words
    task = build_task(again.wording, model.tokenizer)
    ours = Scorer(model, task, longest_prompt=8).score_texts([again], ["a joy"])
    assert torch.equal(ours, tiny_scorer.score_texts([HARD], ["a joy"]))


def test_only_a_wording_of_its_own_tells_a_prompt_apart() -> None:
    wordings = [Wording.of(DEMO_TASK.model_copy(update={"template": "{text}:"})), None]
    same = [HARD, *(replace(HARD, wording=wording) for wording in wordings)]
    assert len({prompt.digest for prompt in same}) == 1
    assert HARD.digest == "e5aa903aa00c4280"
    other = replace(HARD, wording=wordings[0], reworded=True)
    assert other.digest != HARD.digest
    assert Prompt.from_bytes(other.to_bytes()).digest == other.digest


def test_a_prompt_stored_before_it_had_a_wording() -> None:
    assert b"wording" not in HARD.to_bytes()
    assert Prompt.from_bytes(HARD.to_bytes()).wording is None
    search = Wording.of(DEMO_TASK)
    mine = search.model_copy(update={"template": "{text}:"})
    prompts = [HARD, replace(HARD, wording=mine), replace(SOFT, wording=search)]
    assert by_wording(prompts, DEMO_TASK) == [(search, [0, 2]), (mine, [1])]


def test_a_soft_prompt_is_named_by_its_nearest_tokens(tiny_model: FrozenModel) -> None:
    ids = tiny_model.tokenizer(" film plot", add_special_tokens=False).input_ids
    prompt = soft_prompt(tiny_model.embed(ids) * 1.5, "suffix", tiny_model)
    assert prompt.text == f"[{len(ids)} virtual tokens near: film plot]"
    assert hard_prompt(tuple(ids), "suffix", tiny_model).text == " film plot"


@pytest.mark.parametrize("numbers", [1, 7 * 32, 400 * 32])
def test_nearest_tokens_are_those_of_the_whole_table_at_once(numbers: int) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(400, 32, generator=generator)
    vectors = 3 * torch.randn(20, 32, generator=generator)
    cosines = normalize(vectors, dim=-1) @ normalize(table, dim=-1).T
    assert nearest_tokens(vectors, table, numbers) == cosines.argmax(-1).tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("numbers", [1, 7 * 32, 400 * 32])
def test_spread_is_that_of_the_whole_table_at_once(numbers: int, dtype: torch.dtype) -> None:
    table = (3 + 0.02 * torch.randn(400, 32, generator=torch.Generator().manual_seed(0))).to(dtype)
    assert spread(table, numbers) == float(table.float().std())


class Largest(TorchDispatchMode):
    """The size of the largest tensor that is made meanwhile, of 32 bits a number or more."""

    size = 0

    def __torch_dispatch__(
        self, operator: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        made = operator(*arguments, **(options or {}))
        if isinstance(made, torch.Tensor) and made.dtype in (torch.float32, torch.float64):
            self.size = max(self.size, made.numel())
        return made


def test_the_table_is_never_held_in_float32() -> None:
    table = torch.randn(400, 32).to(torch.bfloat16)
    with Largest() as largest:
        nearest_tokens(torch.randn(3, 32), table, numbers=640)
        spread(table, numbers=640)
    assert 0 < largest.size <= 640


def test_a_position_may_be_left_out_of_any_kind() -> None:
    vectors, rows = torch.arange(6.0).view(2, 3), torch.arange(3.0).view(3, 1, 1, 1, 1)
    hard = Prompt("a b c", (1, 2, 3), position="both", front=2)
    assert [(hard.without(n).token_ids, hard.without(n).front) for n in range(3)] == [
        ((2, 3), 1),
        ((1, 3), 1),
        ((1, 2), 2),
    ]
    mixed = Prompt("", (VIRTUAL, 7, VIRTUAL), vectors)
    ids = [(VIRTUAL, 7, VIRTUAL), (7, VIRTUAL), (VIRTUAL, VIRTUAL), (VIRTUAL, 7)]
    own = [vectors, vectors[1:], vectors, vectors[:1]]
    for each, wanted, left in zip(
        (mixed, *(mixed.without(n) for n in range(3))), ids, own, strict=True
    ):
        assert each.token_ids == wanted
        assert each.vectors is not None
        assert torch.equal(each.vectors, left)
    kv = Prompt("", rows=rows, position="end", prior=(-0.5, -0.9)).without(1)
    assert kv.rows is not None
    assert torch.equal(kv.rows, rows[[0, 2]])
    assert (kv.kind, kv.position, kv.prior, len(kv)) == ("kv", "end", (-0.5, -0.9), 2)
    alone = Prompt("", vectors=vectors[:1]).without(0)
    assert (alone.kind, len(alone)) == ("soft", 0)
