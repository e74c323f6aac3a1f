"""The report, opened in a browser: whole, quiet, alone, and safe from what the data says."""

import dataclasses
import html
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser, Page, sync_playwright

from autoprompt.cli import main
from autoprompt.config import SearchConfig
from autoprompt.reporting.report import render
from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import SearchUnfinishedError
from autoprompt.store import EvaluationRecord, State, Store
from autoprompt.workers.data import Splits, load_splits
from autoprompt.workers.prompt import Prompt
from benchmarks.many_trials import make
from tests.conftest import copy_store, labels_of, write_texts
from tests.tiny import TEXTS

HOSTILE = """</script></style></title><script>document.title="owned"</script>
<img src=x onerror=alert(1)> "quoted" 'single' {{ 7 * 7 }} & <b>bold</b>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        say = pytest.fail if "CI" in os.environ else pytest.skip
        say("reports are opened in Chromium: install it (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found)
        yield started
        started.close()


class Opened:
    """A page with all that the browser said and asked for while opening it."""

    def __init__(self, browser: Browser, file: Path, **options: Any) -> None:
        self.page: Page = browser.new_page(**options)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())


def splits_of(result: SearchResult, base: Path) -> Splits:
    config = SearchConfig.model_validate(result.record.config)
    labels = labels_of(tuple(config.task.label_words))
    return load_splits(config.data, labels, base, result.record.seed)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_opens_quietly_without_a_network_and_fits(
    scheme: Any, width: int, finished: SearchResult, tmp_path: Path, browser: Browser
) -> None:
    file = finished.report(tmp_path / "report.html")
    opened = Opened(browser, file, color_scheme=scheme, viewport={"width": width, "height": 900})
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [file.as_uri()]
    assert opened.page.title() == "finished · Autoprompt"
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    paper = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(20, 22, 26)") == (scheme == "dark")


def test_it_tells_all_of_the_search(
    finished: SearchResult,
    finished_db: str,
    tmp_path: Path,
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = Path(finished_db.removeprefix("sqlite:///")).parent
    monkeypatch.chdir(folder)
    page = Opened(browser, finished.report(tmp_path / "report.html")).page
    headings = page.locator("h2").all_inner_texts()
    assert headings == [
        "Held-out scores", "Beside the prompts", "The prompts that vote", "History", "Length",
        "Tokens", "Time", "Gradients", "What mattered", "Agreement", "Probabilities", "Confusion",
        "Where it was wrong: validation", "Where it was wrong: test",
        "Texts most often wrong", "Leaderboard", "Where the numbers came from",
    ]  # fmt: skip
    scored = [trial for trial in finished.trials if trial.score is not None]
    for chart in page.locator("svg.chart").all():
        assert chart.locator("circle").count() == len(scored)
    assert page.locator("#leaderboard tr[id]").count() == len(scored)
    assert finished.test is not None
    assert f"{finished.test['ensemble']['score']:.4f}" in page.locator(".lead").inner_text()
    [probe] = [row for row in finished.baselines if row["name"] == "linear_probe"]
    beside = page.locator("#baselines tr", has_text="linear probe").inner_text()
    for part in ("validation", "score", "low", "high"):
        assert f"{probe[part]:.4f}" in beside
    told = page.locator("#baselines").inner_text()
    assert all(verdict[1:] in told for verdict in finished.verdicts)
    assert "demonstrations: behind 4 labelled texts" in told
    counts = page.locator("#confusion td").all_inner_texts()
    assert sum(map(int, counts)) == finished.record.data["validation"]
    parts = page.locator("#importances .bar .number").all_inner_texts()
    assert 95 <= sum(int(part.rstrip("%")) for part in parts) <= 105
    splits = splits_of(finished, folder)
    shown = page.locator("#hard-texts .text").all_inner_texts()
    assert shown
    assert set(shown) <= set(splits.validation.texts)
    page.locator("svg.chart a").first.click()
    assert page.locator("tr:target").get_attribute("id") == f"trial-{scored[0].number}"


def test_confusion_and_hard_texts_count_what_was_predicted(
    finished: SearchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autoprompt.reporting.report import Report

    # Every validation text, so that nothing wrong is left out of the sum.
    monkeypatch.setattr("autoprompt.reporting.hard_texts.HARD_TEXTS", 16)
    report = Report(finished)
    right = sum(report.confusion[label][label] for label in range(2))
    assert right / 16 == finished.ensemble.validation
    wrong = [row.wrong for row in report.hard_texts]
    assert wrong == sorted(wrong, reverse=True)
    assert all(row.expected != row.instead for row in report.hard_texts)
    mean = sum(prompt.score for prompt in finished.prompts()) / len(finished.prompts())
    assert sum(wrong) / 16 == pytest.approx(1 - mean)


@pytest.mark.parametrize(("size", "rows"), [(1, 3), (2, 4)])
def test_the_mean_of_one_member_is_no_row(finished: SearchResult, size: int, rows: int) -> None:
    from autoprompt.reporting.report import Report

    report = Report(finished)
    assert finished.record.ensemble is not None
    ensemble = finished.record.ensemble | {"members": list(range(size))}
    report.record = dataclasses.replace(finished.record, ensemble=ensemble)
    assert len(report.tests) == rows


def hostile_search(finished: SearchResult, db: str, folder: Path) -> SearchResult:
    """The finished search, with hostile words wherever a user's words may stand."""
    store = Store.open(copy_store(db, folder))
    number = len(finished.trials)
    kinds = {
        "kind": "hard",
        "plan": {"tokens": 2, "position": "suffix"},
        "params": {HOSTILE: HOSTILE},
    }
    for each in (number, number + 1):
        store.start_trial(finished.id, each, **kinds, distributions={})
    [best] = finished.prompts(limit=1)
    store.record_rung(
        finished.id,
        number,
        {"rung": 0, "step": 1, "score": 1.0, "loss": 0.0, "train_loss": 0.0, "seconds": 1.0},
        {"digest": "0", "text": HOSTILE, "content": Prompt(HOSTILE, (1, 2)).to_bytes()}
        | {"log_probs": best.log_probs},
        {},
    )
    store.fail_trial(finished.id, number + 1, HOSTILE)
    names = {"negative": "<i>bad</i>", "positive": HOSTILE.replace("\n", " ")}
    write_texts(
        folder / "hostile.csv",
        [{"text": f"{HOSTILE} {row['text']}", "label": names[row["label"]]} for row in TEXTS],
    )
    config = json.loads(json.dumps(finished.record.config))
    config["data"]["path"] = str(folder / "hostile.csv")
    config["task"]["label_words"] = dict(
        zip(names.values(), config["task"]["label_words"].values(), strict=True)
    )
    record = dataclasses.replace(
        finished.record, name=HOSTILE, state="failed", error=HOSTILE, config=config
    )
    result = SearchResult(store, record)
    fingerprint = splits_of(result, folder).fingerprint
    result.record = dataclasses.replace(record, versions=record.versions | {"data": fingerprint})
    return result


def test_what_the_data_says_is_text_and_nothing_else(
    finished: SearchResult, finished_db: str, tmp_path: Path, browser: Browser
) -> None:
    file = hostile_search(finished, finished_db, tmp_path).report(tmp_path / "report.html")
    opened = Opened(browser, file)
    page = opened.page
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [file.as_uri()]
    assert page.locator("script, img, b, i:not([style])").count() == 0
    assert page.title().startswith("</script>")
    for place in ("h1", ".warning", "#hard-texts .text", "#leaderboard .prompt"):
        shown = page.locator(place).first.text_content() or ""
        assert '<script>document.title="owned"</script>' in shown, place
        assert "{{ 7 * 7 }} & <b>bold</b>" in shown, place


def test_texts_that_are_no_longer_there_are_left_out(
    finished: SearchResult, tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads(json.dumps(finished.record.config))
    config["data"]["path"] = str(write_texts(tmp_path / "other.csv", TEXTS[::-1]))
    finished.record = dataclasses.replace(finished.record, config=config)
    page = Opened(browser, finished.report(tmp_path / "report.html")).page
    assert "no longer what or where it was" in page.locator("#hard-texts .note").inner_text()
    shown = page.locator("#hard-texts .text").all_inner_texts()
    assert all(text.startswith("validation text ") for text in shown)


def test_no_texts_leaves_every_text_out(
    finished: SearchResult, finished_db: str, tmp_path: Path
) -> None:
    shown = [row["text"] for row in TEXTS if html.escape(row["text"]) in render(finished)]
    folder = Path(finished_db.removeprefix("sqlite:///")).parent
    splits = splits_of(finished, folder)
    assert shown
    assert set(shown) <= {*splits.validation.texts, *splits.test.texts}
    for option, left in (([], shown), (["--no-texts"], [])):
        out = tmp_path / f"report-{len(option)}.html"
        command = ["report", "latest", "--db", finished_db, "--out", str(out), *option]
        assert CliRunner().invoke(main, command).exit_code == 0
        page = out.read_text(encoding="utf-8")
        assert [row["text"] for row in TEXTS if html.escape(row["text"]) in page] == left
        assert ("left out, as was asked" in page) == bool(option)


def test_files_are_told_by_their_names(finished: SearchResult, tmp_path: Path) -> None:
    """Also in what a trial, the search or a warning said of one, and of data from elsewhere."""
    config = json.loads(json.dumps(finished.record.config))
    config["data"]["path"] = {"train": str(tmp_path / "my texts.csv"), "test": str(tmp_path / "t")}
    config["model"]["adapter"] = str(tmp_path / "lora")
    problem = f"{tmp_path / 'my texts.csv'} and {tmp_path / 'a' / 'b.csv'}: no such file"
    finished.record = dataclasses.replace(
        finished.record, config=config, state="failed", error=problem, warnings=[problem]
    )
    start = {"soft.init_prompt": str(tmp_path / "mine.safetensors")}
    trial = dataclasses.replace(finished.trials[0], state=State.FAILED, error=problem, params=start)
    score = {"score": 0.5, "low": 0.4, "high": 0.6}
    opened = EvaluationRecord(
        id=1, search="finished", source=str(tmp_path / "other.csv"), fingerprint="-",
        purpose="evaluate", opened_by="me@here", opened_at=datetime.now(UTC),
        result={"texts": 3, "no_prompt": score, "best": score, "ensemble": score},
    )  # fmt: skip
    finished.__dict__ |= {
        "trials": [trial, *finished.trials[1:]],
        "evaluations": [*finished.evaluations, opened],
    }
    page = html.unescape(render(finished))
    for root in (str(tmp_path.parents[1]), str(Path.home())):
        assert root not in page
    assert page.lower().count("my texts.csv and b.csv: no such file") == 3
    for name in ("other.csv", "train: my texts.csv", "adapter: lora", "init_prompt=mine.safe"):
        assert name in page, name


def test_a_search_that_has_not_ended_is_told_so_far(
    finished: SearchResult, tmp_path: Path, browser: Browser
) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    make(url, trials=5)
    store = Store.open(url)
    store.update_search(1, state="running", ensemble=None, finished_at=None)
    result = SearchResult(store, store.find("1"))
    page = Opened(browser, result.report(tmp_path / "report.html")).page
    assert "This search is running" in page.locator(".warning").inner_text()
    assert "Too few trials" in page.locator("#importances").inner_text()
    assert page.locator("#ensemble").count() == 0


def test_finalists_and_warnings_are_told(tmp_path: Path, browser: Browser) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    make(url, trials=5)
    store = Store.open(url)
    first, second = (prompt.number for prompt in store.prompts(1, limit=2))
    for number, scores in {first: (0.5, 0.75), second: (0.8, 0.9)}.items():
        for repeat, score in enumerate(scores, 1):
            store.record_confirmation(
                1, number, repeat=repeat, seed=repeat, score=score, seconds=1.0
            )
    store.update_search(1, warnings=[f"trial {first} was <i>luck</i>"])
    page = Opened(browser, SearchResult(store, store.find("1")).report(tmp_path / "r.html")).page
    assert page.locator("header .warning").inner_text() == f"Trial {first} was <i>luck</i>."
    rows = [row.split("\t") for row in page.locator("#finalists tr").all_inner_texts()[1:]]
    assert [(row[0], row[2]) for row in rows] == [(str(second), "0.8500"), (str(first), "0.6250")]
    assert rows[0][4] == "0.8000, 0.9000"


def test_an_empty_search_and_a_file_that_exists_are_refused(
    finished: SearchResult, finished_db: str, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    make(url, trials=0, members=False)
    store = Store.open(url)
    with pytest.raises(SearchUnfinishedError, match="no trial with a score"):
        SearchResult(store, store.find("many")).report(tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
    (tmp_path / "report.html").write_text("mine")
    command = ["report", "latest", "--db", finished_db, "--out", str(tmp_path / "report.html")]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 2
    assert "report.html: exists" in refused.stderr
    assert (tmp_path / "report.html").read_text() == "mine"


def test_many_trials_make_a_small_page(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    make(url, trials=150, hidden=32)
    store = Store.open(url)
    file = SearchResult(store, store.find("many")).report(tmp_path / "report.html")
    assert file.stat().st_size < 150 * 5_000


def test_looking_at_a_search_does_not_wait_for_torch_or_ray(
    finished_db: str, tmp_path: Path
) -> None:
    commands = [
        "list",
        "show latest",
        "trials latest",
        f"report latest --out {tmp_path / 'r.html'}",
    ]
    code = (
        "import sys; from autoprompt.cli import main; from click.testing import CliRunner\n"
        f"for command in {commands!r}:\n"
        f"    result = CliRunner().invoke(main, [*command.split(), '--db', {finished_db!r}])\n"
        "    assert result.exit_code == 0, result\n"
        "    slow = {'torch', 'ray', 'transformers'} & set(sys.modules)\n"
        "    assert not slow, (command, slow)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
