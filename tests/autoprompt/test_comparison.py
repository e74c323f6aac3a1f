"""Two searches on the same held-out texts: what is kept of an opening, compared, and refused."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

import autoprompt
from autoprompt.api import load
from autoprompt.cli import main
from autoprompt.evaluation.held_out_answers import Answerer, HeldOutAnswers
from autoprompt.results import SearchResult
from autoprompt.search_answers import answers_in
from autoprompt.search_spaces.errors import BadInputError, ConfigError, SearchUnfinishedError
from autoprompt.workers.answers import answers_of
from autoprompt.workers.combination import heads
from autoprompt.workers.metrics import METRICS
from tests.conftest import DEMO_TASK, copy_store, write_texts
from tests.tiny import TEXTS


@pytest.fixture(scope="module")
def pair_db(finished_db: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The finished search, and another of soft prompts alone on the same splits."""
    url = copy_store(finished_db, tmp_path_factory.mktemp("pair"))
    config = load("finished", db=url).config
    soft = config.replaced(space=config.space.model_copy(update={"hard": None}))
    weighed = soft.replaced(
        ensemble=soft.ensemble.model_copy(update={"vote": "weighted", "size": 2})
    )
    autoprompt.search(weighed.with_overrides(trials=3, name="soft"), db=url, quiet=True)
    return url


@pytest.fixture
def db(pair_db: str, tmp_path: Path) -> str:
    """A copy, to be changed."""
    return copy_store(pair_db, tmp_path)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def change(db: str, statement: str, **values: Any) -> None:
    engine = sa.create_engine(db)
    with engine.begin() as connection:
        assert connection.execute(sa.text(statement), values).rowcount
    engine.dispose()


def answered(result: SearchResult, source: str = "test") -> HeldOutAnswers:
    [opening] = [each for each in result.evaluations if each.source == source]
    content = result._store.predictions(opening.id)
    assert content is not None
    return HeldOutAnswers.unpacked(content, answers_in(result.record))


def test_an_opening_keeps_what_was_answered(pair_db: str) -> None:
    result = load("finished", db=pair_db)
    kept, test = answered(result), result.test
    assert test is not None
    metric = METRICS["accuracy"]
    assert kept.decided.shape == (2 + len(result.ensemble.members), test["texts"])
    alone, best, *members = (metric.score(kept.expected, row) for row in kept.decided)
    assert alone == test["no_prompt"]["score"]
    assert best == test["best"]["score"] == metric.score(kept.expected, kept.judged("best", metric))
    assert members == [member["score"] for member in test["members"]]
    assert metric.score(kept.expected, kept.judged("ensemble", metric)) == test["ensemble"]["score"]
    judge = METRICS["log_loss"]
    for answerer in get_args(Answerer):
        worth = judge.score(kept.expected, kept.judged(answerer, judge))
        stored = test["probabilities"][answerer]["log_loss"]["score"]
        assert worth == pytest.approx(stored, rel=1e-5)
    for log_probs in (kept.best, kept.mixed):
        np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1, rtol=1e-5)


def test_what_is_kept_is_bounded_by_the_texts_not_by_the_members() -> None:
    """50,000 texts with 77 labels and nine members would be 35 MB."""
    names = [f"label {number}" for number in range(77)]
    wording = DEMO_TASK.model_copy(update={"label_words": {name: (name,) for name in names}})
    answers = answers_of(wording)
    log_probs = np.log(np.random.default_rng(0).dirichlet(np.ones(77), (11, 500))).astype("f4")
    labels = [number % 77 for number in range(500)]
    kept = HeldOutAnswers.of(answers, labels, heads([1.0] * 9), log_probs)
    content = kept.packed(answers)
    assert len(content) * 100 < 36e6
    read = HeldOutAnswers.unpacked(content, answers)
    for name in ("expected", "decided", "voted", "best"):
        np.testing.assert_array_equal(getattr(read, name), getattr(kept, name))
    np.testing.assert_allclose(read.mixed, kept.mixed, rtol=1e-6)
    for metric in ("accuracy", "log_loss"):
        before, after = (own.judged("ensemble", METRICS[metric]) for own in (kept, read))
        assert METRICS[metric].score(kept.expected, after) == pytest.approx(
            METRICS[metric].score(kept.expected, before), rel=1e-6
        )


def test_the_difference_is_that_of_the_scores(pair_db: str) -> None:
    compared = autoprompt.compare("finished", "soft", db=pair_db, quiet=True)
    tests = [load(name, db=pair_db).test for name in ("finished", "soft")]
    for row in ("best", "ensemble"):
        a, b = (test[row]["score"] for test in tests if test)
        found = compared[row]
        assert (found["a"], found["b"], found["difference"]) == (a, b, a - b)
        assert found["low"] <= found["difference"] <= found["high"]
        assert found["low"] < found["high"]
        assert (found["method"], found["test"]) == ("score", "McNemar")
    assert compared["searches"] == ["finished", "soft"]
    assert compared["texts"] == 20
    assert compared["looks"] == {"searches": 2, "openings": 2, "pairs": 1}
    turned = autoprompt.compare("soft", "finished", db=pair_db, quiet=True)
    for row in ("best", "ensemble"):
        assert turned[row]["low"] == pytest.approx(-compared[row]["high"])
        assert turned[row]["p"] == compared[row]["p"]


def test_looks_at_the_same_texts_are_counted_and_corrected_for(db: str) -> None:
    before = autoprompt.compare("finished", "soft", db=db, quiet=True)
    config = load("soft", db=db).config
    for name in ("third", "fourth"):
        autoprompt.search(config.with_overrides(trials=1, name=name), db=db, quiet=True)
    third = load("third", db=db)
    [opening] = third.evaluations
    again = {"source": "test", "purpose": "search", "opened_by": "me@here"}
    # A second opening for the same search, and one of other texts.
    third._store.open_evaluation(third.id, fingerprint=opening.fingerprint, **again)
    third._store.open_evaluation(third.id, fingerprint="other", **again)
    after = autoprompt.compare("finished", "soft", db=db, quiet=True)
    assert after["looks"] == {"searches": 4, "openings": 5, "pairs": 6}
    for row in ("best", "ensemble"):
        own, wider = after[row], after[row]["corrected"]
        assert (own["low"], own["p"]) == (before[row]["low"], before[row]["p"])
        assert before[row]["corrected"] == {key: own[key] for key in ("low", "high", "p")}
        assert wider["low"] < own["low"] < own["high"] < wider["high"]
        assert wider["p"] == min(1.0, 6 * own["p"])
    told = call("compare", "finished", "soft", "--db", db).stdout
    assert "opened for 4 searches" in told
    assert "all 6 pairs" in told


def flipped(db: str, name: str) -> None:
    """Turn every answer of a search round."""
    result = load(name, db=db)
    kept = answered(result)
    turned = HeldOutAnswers(
        kept.expected, 1 - kept.decided, 1 - kept.voted, kept.best[:, ::-1], kept.mixed[:, ::-1]
    )
    [opening] = result.evaluations
    change(
        db, "UPDATE evaluations SET predictions = :content WHERE id = :id",
        content=turned.packed(result.answers), id=opening.id,
    )  # fmt: skip


def test_the_better_one_is_named_and_drawn(db: str, tmp_path: Path) -> None:
    kept = answered(load("finished", db=db))
    right = HeldOutAnswers(
        kept.expected,
        np.repeat(kept.expected[None], 5, axis=0),
        kept.expected,
        np.log(np.where(np.eye(2)[kept.expected] > 0, 0.9, 0.1)),
        np.log(np.where(np.eye(2)[kept.expected] > 0, 0.9, 0.1)),
    )
    for name in ("finished", "soft"):
        result = load(name, db=db)
        change(
            db, "UPDATE evaluations SET predictions = :content WHERE search_id = :id",
            content=right.packed(result.answers), id=result.id,
        )  # fmt: skip
    flipped(db, "soft")
    options = ["--db", db, "--plot", str(tmp_path / "plot.svg")]
    told = call("compare", "finished", "soft", *options)
    assert told.exit_code == 0, told.output
    assert "Best prompt: finished is better by more than chance" in told.stdout
    for metric, way in (("accuracy", 1), ("log_loss", -1)):
        if metric == "log_loss":
            statement = "UPDATE searches SET ensemble = replace(ensemble, 'majority', 'weighted')"
            change(db, statement)
        found = json.loads(
            call("compare", "soft", "finished", "--db", db, "--metric", metric, "--json").stdout
        )
        assert found["best"]["better"] == found["ensemble"]["better"] == "finished"
        assert found["ensemble"]["difference"] * way < 0
    drawing = xml.etree.ElementTree.parse(tmp_path / "plot.svg")  # noqa: S314 - our own file
    circles = drawing.findall(".//{http://www.w3.org/2000/svg}circle")
    zero = drawing.find(".//{http://www.w3.org/2000/svg}path[@class='zero']")
    assert zero is not None
    place = float(re.findall(r"[\d.]+", zero.attrib["d"])[0])
    assert len(circles) == 2
    assert all(float(circle.attrib["cx"]) > place for circle in circles)
    again = call("compare", "finished", "soft", *options)
    assert again.exit_code == 2
    assert "plot.svg: exists" in again.stderr


def test_other_texts_are_compared_by_what_they_were_called(db: str, tmp_path: Path) -> None:
    other = write_texts(tmp_path / "other.csv", TEXTS[::3])

    def refused(words: str) -> None:
        with pytest.raises(BadInputError, match=words):
            autoprompt.compare("finished", "soft", data=str(other), db=db, quiet=True)

    load("finished", db=db).evaluate(str(other), quiet=True)
    refused("'soft' has no scores on .*other.csv: `autoprompt evaluate soft --data .*other.csv`")
    write_texts(other, TEXTS[1::3])
    load("soft", db=db).evaluate(str(other), quiet=True)
    refused("'finished' and 'soft' answered different texts of .*other.csv")
    load("finished", db=db).evaluate(str(other), quiet=True)
    found = autoprompt.compare("finished", "soft", data=str(other), db=db, quiet=True)
    assert (found["texts"], found["data"]) == (len(TEXTS[1::3]), str(other))


def test_what_cannot_be_compared_is_refused_in_a_line(db: str) -> None:
    def refused(error: type[Exception], words: str, **options: Any) -> None:
        with pytest.raises(error, match=words) as caught:
            autoprompt.compare(*("finished", "soft"), db=db, quiet=True, **options)
        assert "\n" not in str(caught.value)

    with pytest.raises(BadInputError, match="are one search; name two"):
        autoprompt.compare("finished", "1", db=db, quiet=True)
    refused(ConfigError, "a majority vote gives labels alone, and log_loss", metric="log_loss")
    change(db, "UPDATE searches SET metric = 'macro_f1' WHERE name = 'soft'")
    refused(BadInputError, "judged by accuracy, 'soft' by macro_f1; give --metric accuracy")
    assert (
        autoprompt.compare("finished", "soft", metric="mcc", db=db, quiet=True)["metric"] == "mcc"
    )
    change(db, "UPDATE searches SET metric = 'accuracy' WHERE name = 'soft'")
    change(db, "UPDATE evaluations SET fingerprint = 'other' WHERE search_id = 2")
    refused(BadInputError, "answered different texts of test: `autoprompt evaluate SEARCH")
    change(db, "UPDATE evaluations SET fingerprint = (SELECT fingerprint FROM evaluations LIMIT 1)")
    change(db, "UPDATE evaluations SET predictions = NULL WHERE search_id = 2")
    refused(BadInputError, "'soft' was scored by an older version.*`autoprompt evaluate soft")
    change(db, "UPDATE searches SET config = replace(config, '\"negative\":', '\"bad\":')")
    change(
        db,
        "UPDATE searches SET config = replace(config, '\"bad\":', '\"negative\":') WHERE id = 1",
    )
    refused(BadInputError, r"\(negative, positive\) and 'soft' \(bad, positive\) have different")
    change(db, "UPDATE searches SET state = 'stopped' WHERE name = 'soft'")
    refused(SearchUnfinishedError, "'soft' is stopped.*`autoprompt resume soft`")


def test_comparing_does_not_wait_for_torch_or_ray(pair_db: str) -> None:
    code = (
        "import sys; from autoprompt.cli import main; from click.testing import CliRunner\n"
        f"result = CliRunner().invoke(main, ['compare', 'finished', 'soft', '--db', {pair_db!r}])\n"
        "assert result.exit_code == 0, result\n"
        "slow = {'torch', 'ray', 'transformers'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
