"""What a search takes over from earlier ones, and what it must not."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.controller.optuna_searcher import OptunaSearcher
from autoprompt.controller.runner import create_search
from autoprompt.preparation.prepare import Prepared, prepare
from autoprompt.preparation.task_similarity import Footprint
from autoprompt.preparation.warm_start import with_earlier
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import BadInputError, SearchNotFoundError
from autoprompt.store import Store
from autoprompt.workers.data import Split, Splits
from autoprompt.workers.prompt import Prompt
from tests.conftest import write_texts, write_yaml
from tests.tiny import TEXTS, save_tiny_model

HALVES = (TEXTS[::2], TEXTS[1::2])
OTHER_WORDS = [
    {"text": f"{who} {what} {when}", "label": label}
    for who, when in itertools.product(("we", "you", "they", "she"), ("now", "again", "at noon"))
    for label, what in (("positive", "won big"), ("negative", "lost all"))
]


class Desk:
    """Searches of the tiny model over one store, prepared but not run."""

    def __init__(self, config: dict[str, Any], folder: Path) -> None:
        self.folder = folder
        self.config = config | {"data": {"path": "texts.csv", "sizes": {}}}
        self.db = f"sqlite:///{folder / 'store.db'}"
        self.said: list[str] = []

    def prepared(self, rows: list[dict[str, str]], **changes: Any) -> Prepared:
        write_texts(self.folder / "texts.csv", rows)
        path = write_yaml(self.folder / "search.yaml", self.config | changes)
        return prepare(SearchConfig.read(path), SearchProgress(quiet=True))

    def lent(self, rows: list[dict[str, str]], **changes: Any) -> Prepared:
        progress = SearchProgress(quiet=True)
        progress.say = self.said.append  # type: ignore[method-assign]
        return with_earlier(self.prepared(rows, **changes), self.db, progress)

    def past(
        self, name: str, rows: list[dict[str, str]], scores: dict[int, float], **changes: Any
    ) -> Store:
        """A search that ended, whose trials have these scores: even ones soft, odd ones hard."""
        store = Store.open(self.db)
        search = create_search(self.prepared(rows, name=name, **changes), store)
        for number, score in scores.items():
            if number % 2 == 0:
                plan = {"kind": "soft", "length": 2 + number // 2 % 2, "init": "vocabulary"}
                plan |= {"learning_rate": 0.05 + 0.01 * number}
                prompt = Prompt("soft", vectors=torch.full((2, 32), float(number)))
            else:
                plan = {"kind": "hard", "tokens": 3}
                prompt = Prompt("hard", (number, 5, 6))
            store.start_trial(
                search.id, number, kind=plan["kind"], plan=plan, params={}, distributions={}
            )
            rung = {"rung": 1, "step": 1, "score": score, "loss": 0.1, "train_loss": 0.1}
            kept = {"digest": prompt.digest, "text": prompt.text, "content": prompt.to_bytes()}
            store.record_rung(
                search.id, number, rung | {"seconds": 1.0}, kept | {"log_probs": b""}, {}
            )
            store.finish_trial(search.id, number, "complete")
        store.finish_search(search.id, "finished")
        return store


@pytest.fixture
def desk(tiny_config: dict[str, Any], tmp_path: Path) -> Desk:
    return Desk(tiny_config, tmp_path)


SCORES = {0: 0.7, 1: 0.9, 2: 0.8, 3: 0.95, 4: 0.6}


def test_the_best_settings_come_first_and_soft_prompts_may_start_from_the_best(desk: Desk) -> None:
    desk.past("movies", HALVES[0], SCORES)
    lent = desk.lent(HALVES[1], warm_start="movies", search={"trials": 20})
    assert lent.warm_start is not None
    assert lent.warm_start["prompt"] == "movies/2"
    assert (lent.warm_start["search"], lent.warm_start["name"]) == (1, "movies")
    assert lent.warm_start["params"] == [
        {"kind": "hard", "hard.tokens": 3},
        {"kind": "soft", "soft.length": 3, "soft.init": "prompt", "soft.learning_rate": 0.07},
        {"kind": "soft", "soft.length": 2, "soft.init": "vocabulary", "soft.learning_rate": 0.05},
        {"kind": "soft", "soft.length": 2, "soft.init": "vocabulary", "soft.learning_rate": 0.09},
    ]
    soft = lent.config.space.soft
    assert soft is not None
    assert soft.init == ("random", "vocabulary", "prompt")
    assert soft.init_prompt == "movies/2"
    vectors = Prompt.from_bytes(lent.job.earlier["movies/2"]).vectors
    assert vectors is not None
    assert torch.equal(vectors, torch.full((2, 32), 2.0))
    assert desk.said[-1].startswith("warm start: search movies (nearness 0.")


def test_the_same_seed_starts_the_same_way(desk: Desk) -> None:
    desk.past("movies", HALVES[0], SCORES)

    def plans() -> list[dict[str, Any]]:
        lent = desk.lent(HALVES[1], warm_start="auto")
        assert lent.warm_start is not None
        searcher = OptunaSearcher(lent.config.space, 3, first=lent.warm_start["params"])
        return [searcher.draw(1)[0]["plan"] for _ in range(6)]

    found = plans()
    assert found == plans()
    assert found[0]["tokens"] == 3
    assert (found[1]["init"], found[1]["init_prompt"]) == ("prompt", "movies/2")
    assert found[1]["learning_rate"] == 0.07
    assert {plan["kind"] for plan in found[:3]} == {"soft", "hard"}


def test_mixed_prompts_may_start_from_it_too(desk: Desk) -> None:
    desk.past("movies", HALVES[0], SCORES)
    mixed = {"length": 2, "learning_rate": 0.1, "steps": 4, "tokens": 2, "start": "in short"}
    lent = desk.lent(HALVES[1], warm_start="movies", space={"mixed": mixed})
    assert lent.config.space.mixed is not None
    assert lent.config.space.mixed.init == ("vocabulary", "prompt")
    assert lent.config.space.mixed.init_prompt == "movies/2"
    assert tuple(lent.job.earlier) == ("movies/2",)


def test_half_of_the_trials_are_the_searchs_own(desk: Desk) -> None:
    desk.past("movies", HALVES[0], SCORES)
    lent = desk.lent(HALVES[1], warm_start="movies", search={"trials": 4})
    assert lent.warm_start is not None
    assert len(lent.warm_start["params"]) == 2


def test_auto_takes_the_nearest_and_says_so(desk: Desk) -> None:
    desk.past("movies", HALVES[0], SCORES)
    desk.past("games", OTHER_WORDS, SCORES)
    words = {"negative": "flat", "positive": "bright"}
    task = desk.config["task"] | {"label_words": words}
    desk.past("moods", HALVES[0], SCORES, task=task)
    lent = desk.lent(HALVES[1], warm_start="auto")
    assert lent.warm_start is not None
    assert lent.warm_start["name"] == "movies"
    assert 0.5 < lent.warm_start["nearness"] < 1


def test_auto_without_an_earlier_search_says_so_and_goes_on(desk: Desk) -> None:
    for _ in range(2):
        lent = desk.lent(HALVES[0], warm_start="auto")
        assert lent.warm_start is None
        assert lent.config.space == desk.prepared(HALVES[0]).config.space
        assert "no earlier search" in desk.said[-1]
        Store.open(desk.db)


def test_off_by_default(desk: Desk) -> None:
    desk.past("movies", HALVES[0], SCORES)
    for changes in ({}, {"warm_start": False}):
        assert desk.lent(HALVES[1], **changes).warm_start is None
    assert desk.said == []


def test_a_prompt_belongs_to_its_model(desk: Desk, tmp_path: Path) -> None:
    desk.past("movies", HALVES[0], SCORES)
    other = str(save_tiny_model(tmp_path / "other", num_hidden_layers=1))
    with pytest.raises(BadInputError, match="warm_start: search 'movies' was on another model"):
        desk.lent(HALVES[1], warm_start="movies", model=other)
    assert desk.lent(HALVES[1], warm_start="auto", model=other).warm_start is None


def test_texts_that_were_learned_from_never_test(desk: Desk) -> None:
    """The same data under another seed is split otherwise: what was trained on is tested on."""
    desk.past("movies", TEXTS, SCORES)
    assert desk.lent(TEXTS, warm_start="movies", search={"seed": 3}).warm_start is not None
    with pytest.raises(BadInputError, match=r"has learned from \d+ of this search's test texts"):
        desk.lent(TEXTS, warm_start="movies", search={"seed": 1})
    assert desk.lent(TEXTS, warm_start="auto", search={"seed": 1}).warm_start is None
    assert any("passed over" in line for line in desk.said)


def test_what_an_earlier_search_took_over_counts_as_learned(desk: Desk) -> None:
    desk.past("first", HALVES[0], SCORES)
    lent = desk.lent(HALVES[1], warm_start="first")
    first = desk.prepared(HALVES[0])
    assert lent.footprint.learned_from(first.splits.train.texts) == len(first.splits.train)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"warm_start": "none"}, "no search 'none'"),
        ({"warm_start": "empty"}, "'empty' has no trial with a score"),
        ({"init_prompt": "none.safetensors"}, "none.safetensors: no such file"),
        ({"init_prompt": "broken.safetensors"}, "broken.safetensors: a stored prompt cannot be"),
        ({"init_prompt": "two.safetensors"}, "two.safetensors: holds a, b; one prompt is wanted"),
        ({"init_prompt": "wide.safetensors"}, "vectors are 48 wide"),
        ({"init_prompt": "movies/7"}, "trial 7 of search 'movies' has no prompt"),
        ({"init_prompt": "words"}, "'words' has no soft and no KV prompt"),
    ],
)
def test_what_is_not_there(changes: dict[str, Any], words: str, desk: Desk) -> None:
    desk.past("movies", HALVES[0], SCORES)
    desk.past("empty", HALVES[0], {})
    desk.past("words", HALVES[0], {1: 0.8})
    (desk.folder / "broken.safetensors").write_bytes(b"no prompt")
    save_file({"a": torch.zeros(1, 32), "b": torch.zeros(1, 32)}, desk.folder / "two.safetensors")
    wide = Prompt("", vectors=torch.zeros(2, 48))
    (desk.folder / "wide.safetensors").write_bytes(wide.to_bytes())
    if reference := changes.pop("init_prompt", None):
        soft = desk.config["space"]["soft"] | {"init": "prompt", "init_prompt": reference}
        changes["space"] = {"soft": soft}
    with pytest.raises(BadInputError, match=words):
        desk.lent(HALVES[1], **changes)


def test_a_file_of_another_tool_will_do(desk: Desk) -> None:
    """As PEFT and `autoprompt export` write one."""
    vectors = torch.arange(64.0).reshape(2, 32)
    save_file({"prompt_embeddings": vectors}, desk.folder / "adapter_model.safetensors")
    start = {"init": "prompt", "init_prompt": "adapter_model.safetensors"}
    lent = desk.lent(HALVES[1], space={"soft": desk.config["space"]["soft"] | start})
    (content,) = lent.job.earlier.values()
    found = Prompt.from_bytes(content).vectors
    assert found is not None
    assert torch.equal(found, vectors)


def test_no_store_yet(desk: Desk) -> None:
    with pytest.raises(SearchNotFoundError, match="no search 'movies'"):
        desk.lent(HALVES[1], warm_start="movies")
    assert not (desk.folder / "store.db").exists()


def test_references_are_pinned(desk: Desk) -> None:
    desk.past("movies", HALVES[0], SCORES)
    (desk.folder / "mine.safetensors").write_bytes(Prompt("", (3, 4)).to_bytes())
    given = ["mine.safetensors", "latest", "movies/0"]
    soft = desk.config["space"]["soft"] | {"init": ["labels", "prompt"], "init_prompt": given}
    lent = desk.lent(HALVES[1], space={"soft": soft})
    assert lent.config.space.soft is not None
    pinned = (str(desk.folder / "mine.safetensors"), "movies/2", "movies/0")
    assert lent.config.space.soft.init_prompt == pinned
    assert tuple(lent.job.earlier) == pinned
    again = with_earlier(replace(lent, job=desk.prepared(HALVES[1]).job), desk.db, SearchProgress())
    assert (again.config, again.job.earlier) == (lent.config, lent.job.earlier)


def test_a_warm_search_starts_from_the_earlier_vectors(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    """Whole searches: with next to no learning rate, a prompt stays where it started."""

    def run(rows: list[dict[str, str]], name: str, **changes: Any) -> autoprompt.SearchResult:
        write_texts(tmp_path / "texts.csv", rows)
        config = tiny_config | {"name": name, "data": {"path": "texts.csv"}} | changes
        config["search"] = config["search"] | {"trials": 3}
        return autoprompt.search(write_yaml(tmp_path / "search.yaml", config), quiet=True)

    still = tiny_config["space"]["soft"] | {"length": [2, 3], "learning_rate": 1e-9, "steps": 1}
    first = run(HALVES[0], "first", space={"soft": tiny_config["space"]["soft"]})
    warm = run(HALVES[1], "warm", space={"soft": still}, warm_start="auto")
    assert warm.as_dict()["warm_start"]["name"] == "first"
    plan = warm.trials[0].plan
    assert (plan["init"], plan["init_prompt"]) == ("prompt", f"first/{first.best.number}")
    (started,) = warm._store.prompts(warm.id, [0])
    (source,) = first._store.prompts(first.id, [first.best.number])
    vectors, origin = (Prompt.from_bytes(each.content).vectors for each in (started, source))
    assert vectors is not None
    assert origin is not None
    repeated = origin[torch.arange(len(vectors)) % len(origin)]
    torch.testing.assert_close(vectors, repeated, atol=1e-6, rtol=0)


# Footprints


class Letters:
    """A tokenizer whose tokens are letters."""

    def __call__(self, texts: list[str], **options: Any) -> Any:
        ids = [[ord(letter) for letter in text] for text in texts]
        return type("Encoded", (), {"input_ids": ids})


def footprint(*texts: str) -> Footprint:
    split = Split(texts, (0,) * len(texts))
    rest = Split(("rest",), (0,))
    return Footprint.of(Splits(split, rest, rest), Letters())


def test_nearness_is_1_for_the_same_tokens_and_0_for_none_shared() -> None:
    one, like, apart = footprint("aab", "c"), footprint("abac"), footprint("xyz")
    near = footprint("aabd")
    assert one.nearness(like) == pytest.approx(1)
    assert one.nearness(apart) == pytest.approx(0)
    assert 0.5 < one.nearness(near) < 1
    assert one.nearness(near) == pytest.approx(near.nearness(one))


def test_a_footprint_knows_its_texts_without_holding_them() -> None:
    made = footprint("a film", "a plot")
    kept = Footprint.from_bytes(made.to_bytes())
    assert kept.nearness(made) == pytest.approx(1)
    assert kept.learned_from(["a plot", "a cast", "rest"]) == 2
    assert b"film" not in made.to_bytes()
