"""The votes in an export's own loader are those of the kinds of answers, whatever is said."""

import json
import runpy
from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np
import pytest
import torch

from autoprompt.workers.answers import Answers, answers_of
from autoprompt.workers.answers.continued_readout import OptionsReadout
from autoprompt.workers.answers.free_text import coded
from autoprompt.workers.asked_text import answers_of_text
from autoprompt.workers.combination import Combination
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.recalibration import Recalibration
from autoprompt.workers.rows import Row
from autoprompt.workers.task import build_task
from autoprompt.workers.wording import Wording

LABELS = {"good": ("great",), "bad": ("dull",), "story": ("plot",)}
WORDINGS: dict[str, dict[str, Any]] = {
    "label_words": {"label_words": LABELS},
    "options": {"options": ("a", "b", "c")},
    "scale": {"label_words": {"1": ("dull",), "2": ("flat",), "4": ("great",)}},
    "several_labels": {"label_words": LABELS, "yes_no": ("great", "dull")},
    "text": {"longest_answer": 12, "stop": ("\n", "in short")},
    "spans": {"label_words": LABELS, "longest_answer": 24},
}

#: What members write; some of it says the same.
WRITTEN = {
    "text": ("the cast", "Cast!", "a warm cast", "warm and clever", "", "a joy", "the"),
    "spans": (
        "great: film; plot: cast",
        "GREAT : film;plot: cast; dull: nothing",
        "dull: film; great: film; great: film",
        "film: great; great:",
        "none",
    ),
}
CELLS = Row({"text": "film, the cast and the film", "a": "one", "b": "two", "c": "three"})
WEIGHTS = {
    "four": [1.0] * 4,
    "five": [1.0] * 5,
    "weighted": [0.5, 0.25, 0.25, 0.75],
    "mean": [0.5, 0.25, 0.25, 0.75],
}


def loader() -> dict[str, Any]:
    templates = resources.files("autoprompt.export") / "templates"
    return runpy.run_path(str(templates / "answers.py"))["KINDS"]


def answers_for(kind: str) -> Answers:
    content = {"template": "{text}:", "answers": kind} | WORDINGS[kind]
    return answers_of(Wording.model_validate(content))


def seated(kind: str, model: FrozenModel, vote: dict[str, Any], weights: list[float]) -> Any:
    """The loader's own class for a kind of answers."""
    task = build_task(answers_for(kind).wording, model.tokenizer)
    columns = [{"before": "", "column": "text"}]
    own = {"answers": kind, "columns": columns} | task.readout.as_dict()
    prompts = [{"weight": weight, "prior": ()} for weight in weights]
    export = json.loads(json.dumps({"task": own, "vote": vote, "prompts": prompts}))
    return loader()[kind](export, model.model, model.tokenizer)


def said_by(kind: str, members: int, random: np.random.Generator) -> tuple[Any, list[Any]]:
    """What members say of a text, as the store has it [N, A], and as the loader has it."""
    answers = answers_for(kind)
    if kind in WRITTEN:
        texts = random.choice(WRITTEN[kind], members)
        rows = [[0.0, *coded(str(text), answers.size - 1)] for text in texts]
        return np.array(rows, dtype=np.float32), list(map(str, texts))
    # Coarse, so that members are often of one mind, and often of as many.
    scores = torch.from_numpy(random.integers(-2, 3, (members, answers.size)).astype(np.float32))
    scores = scores + torch.linspace(0.05, 0.2, answers.size)
    several = kind == "several_labels"
    rows = torch.nn.functional.logsigmoid(scores) if several else scores.log_softmax(-1)
    return rows.numpy(), list(rows)


@pytest.mark.parametrize("vote", list(WEIGHTS))
@pytest.mark.parametrize("kind", list(WORDINGS))
def test_the_loaders_vote_is_the_kinds_own(kind: str, vote: str, tiny_model: FrozenModel) -> None:
    answers, weights = answers_for(kind), WEIGHTS[vote]
    if vote == "mean" and "mean" not in answers.votes:
        return
    rule = Combination("mean" if vote == "mean" else "majority", tuple(weights))
    if answers.categorical:
        members = tuple(Recalibration(0.5 + place, (0.1, 0.0, -0.1)) for place in range(4))
        rule = replace(rule, joint=Recalibration(0.7, (0.2, -0.2, 0.0)))
        rule = replace(rule, members=members) if vote == "mean" else rule
    own = seated(kind, tiny_model, rule.as_dict(), weights)
    random, seen = np.random.default_rng(0), set()
    for _ in range(60):
        stored, said = said_by(kind, len(weights), random)
        if kind in WRITTEN:
            said = [own.understood(text) for text in said]
        label, votes, probability = own.vote(said, CELLS)
        decisions = rule.voted(answers, stored[:, None])
        wanted = answers.told(decisions[0], CELLS)
        seen.add(json.dumps(wanted))
        assert label == (pytest.approx(wanted) if isinstance(wanted, float) else wanted)
        assert votes == pytest.approx(rule.support(answers, stored[:, None], decisions)[0])
        sure = answers.probability(rule.probabilities(answers, stored[:, None]), decisions)[0]
        assert probability == (None if np.isnan(sure) else pytest.approx(sure))
    assert len(seen) > 2


@pytest.mark.parametrize(
    ("kind", "written", "wanted"),
    [
        ("text", " a joy\nand more", "a joy"),
        ("text", " dull in short\n", "dull"),
        ("text", " moving<end> plot", "moving"),
        ("text", " film" * 20, " ".join(["film"] * 12)),
        ("spans", " great: film; plot: cast; plot: ending; great: film; great: film\n", None),
    ],
)
def test_what_is_written_ends_where_it_should(
    kind: str, written: str, wanted: str | None, tiny_model: FrozenModel
) -> None:
    """A model that writes a given text is read up to a stop string, its own end, or the limit."""
    own = seated(kind, tiny_model, Combination("majority", (1.0,)).as_dict(), [1.0])
    tokens = tiny_model.tokenizer(written).input_ids
    size = len(tiny_model.tokenizer)

    def ask(ids: list[int]) -> torch.Tensor:
        return torch.eye(size)[tokens[: len(ids) + 1]]

    task = own.task | {"longest_answer": 100} if kind == "spans" else own.task
    said = own.say({}, task | {"characters": 100}, ask, CELLS)
    if kind == "text":
        assert said == wanted
        return
    label, votes, _ = own.vote([said], CELLS)
    places = [(each["label"], each["text"], each["start"], each["end"]) for each in label]
    assert votes == 1.0
    assert places == [
        ("good", "film", 0, 4),
        ("story", "cast", 10, 14),
        ("story", "ending", None, None),
        ("good", "film", 23, 27),
        ("good", "film", None, None),
    ]


@pytest.mark.parametrize("scoring", ["mean", "sum", "unconditional"])
def test_options_are_scored_as_the_kind_does(
    scoring: str, tiny_model: FrozenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    wording = WORDINGS["options"] | {"label_scoring": scoring, "longest_answer": 3}
    monkeypatch.setitem(WORDINGS, "options", wording)
    own = seated("options", tiny_model, Combination("majority", (1.0,)).as_dict(), [1.0])
    cells = Row({"a": "film", "b": "a warm and clever film", "c": "camera work"})

    def ask(ids: list[int], wanted: list[int], blank: bool = False) -> torch.Tensor:
        generator = torch.Generator().manual_seed(sum(ids) + blank)
        return torch.randn(1 + len(ids), len(tiny_model.tokenizer), generator=generator)

    readout = build_task(answers_for("options").wording, tiny_model.tokenizer).readout
    assert isinstance(readout, OptionsReadout)
    [text] = readout.asked([(5,)], [cells], None)
    options = [list(ids) for ids in answers_of_text(text)]
    assert sorted(map(len, options)) == [1, 2, 3]
    behind = [
        torch.tensor([[float(
            ask(ids[:-1], ids, blank).log_softmax(-1)[range(len(ids)), ids].sum()
        ) for ids in options]])
        for blank in (False, True)
    ]  # fmt: skip
    alone = [behind[1]] if scoring == "unconditional" else None
    wanted = readout.log_probs(readout.scored([text], behind[:1], alone), torch.zeros(3))[0, 0]
    torch.testing.assert_close(own.say({}, own.task, ask, cells), wanted)


def test_options_that_cannot_be_read_are_refused(tiny_model: FrozenModel) -> None:
    own = seated("options", tiny_model, Combination("majority", (1.0,)).as_dict(), [1.0])
    with pytest.raises(ValueError, match="a text has 1 options, and there may be 2 to 3"):
        own.names({"a": "one", "b": " ", "c": ""})
    with pytest.raises(ValueError, match="'lm' merges with the end of the template"):
        own.behind("fi", "lm")
