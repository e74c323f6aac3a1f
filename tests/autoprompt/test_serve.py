"""A server: every answer is what the offline predictor says, whatever happens around it."""

import re
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

import jsonschema
import psutil
import pytest
import requests
from systemone import Choice, Client, Noul, Score
from systemone.client import SystemOneError

import autoprompt
from autoprompt.ensemble.predictor import Prediction, Predictor
from autoprompt.store import Store
from autoprompt.workers.rows import Text
from tests.ray_head import wait_for
from tests.serving import LIMITS, ROOT, TASKS, Server, asked_of, body_of, make_store


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def offline(db: str) -> Predictor:
    return autoprompt.load(list(TASKS), db=db).predictor


@pytest.fixture(scope="module")
def server(db: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(db, list(TASKS), tmp_path_factory.mktemp("server"))
    yield server
    if server.process.poll() is None:
        server.stop()
    shutil.rmtree(server.ray_folder, ignore_errors=True)


def is_right(found: Sequence[dict[str, Any]], expected: Sequence[Prediction]) -> bool:
    """Whether a response's predictions are those."""
    return len(found) == len(expected) and all(
        is_label(row["label"], own.label)
        and row["votes"] == pytest.approx(own.votes)
        and row["probabilities"] == pytest.approx(own.probabilities, abs=1e-4)
        and row["reason"] == own.reason
        for row, own in zip(found, expected, strict=True)
    )


def is_label(found: Any, expected: Any) -> bool:
    """Whether a label is that one; a number nearly so."""
    near = pytest.approx(expected, abs=1e-3) if isinstance(expected, float) else expected
    return bool(found == near)


def predicted(server: Server, name: str, texts: Sequence[Text]) -> list[dict[str, Any]]:
    response = server.post("/v1/predict", body_of(name, texts))
    assert response.status_code == 200, response.text
    predictions: list[dict[str, Any]] = response.json()["predictions"]
    return predictions


@pytest.mark.parametrize("name", TASKS)
def test_every_kind_of_answers(name: str, server: Server, offline: Predictor) -> None:
    texts = asked_of(name)
    assert is_right(predicted(server, name, texts), offline.answer({name: texts})[name])


def test_requests_to_several_searches_at_once(server: Server, offline: Predictor) -> None:
    asked = {name: asked_of(name, 8) for name in TASKS}
    expected = offline.answer(asked)
    requested = [
        (name, slice(start, start + size))
        for name in asked
        for start, size in ((0, 1), (1, 2), (3, 5))
    ]
    with ThreadPoolExecutor(len(requested)) as pool:
        found = pool.map(lambda one: predicted(server, one[0], asked[one[0]][one[1]]), requested)
        for (name, part), predictions in zip(requested, found, strict=True):
            assert is_right(predictions, expected[name][part]), (name, part)


def test_a_row_of_a_search_that_reads_one_column(server: Server) -> None:
    rows = server.post("/v1/predict", {"search": "movies", "rows": [{"text": "dull", "id": "3"}]})
    assert rows.json()["predictions"] == predicted(server, "movies", ["dull"])


def test_what_is_served(server: Server) -> None:
    searches = {row["name"]: row for row in server.get("/v1/searches").json()["searches"]}
    assert list(searches) == list(TASKS)
    assert searches["pairs"]["columns"] == ["text", "other"]
    assert searches["stars"] | {"id": 0, "members": 0} == {
        "name": "stars", "id": 0, "answers": "scale", "labels": ["1", "3", "5"],
        "columns": ["text"], "members": 0, "vote": "majority", "abstains": False,
    }  # fmt: skip


# What is turned away


@pytest.mark.parametrize("path", ["/v1/searches", "/metrics", "/v1/predict", "/v1/systemone"])
@pytest.mark.parametrize("given", [None, "Bearer wrong", "Basic {token}", "{token}", "Bearer é"])
def test_a_request_without_the_token(path: str, given: str | None, server: Server) -> None:
    value = given and given.format(token=server.token).encode()
    headers = {"Authorization": value} if value else {}
    response = requests.get(f"{server.url}{path}", headers=headers, timeout=60)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert "Authorization: Bearer" in response.json()["detail"]


@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/docs"])
def test_what_needs_no_token(path: str, server: Server) -> None:
    response = requests.get(f"{server.url}{path}", timeout=60)
    assert response.ok
    assert "pairs" not in response.text


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"search": "moods", "texts": ["x"]}, 404, "no search 'moods' is served here; there are"),
        ({"search": "movies", "texts": []}, 422, "texts: "),
        ({"search": "movies", "texts": ["x", " \n"]}, 422, "text 1 is empty"),
        ({"search": "movies", "texts": "x"}, 422, "texts: "),
        ({"search": "movies", "texts": [3]}, 422, "texts.0: "),
        ({"search": "movies"}, 422, "give either texts or rows"),
        ({"search": "movies", "texts": ["x"], "rows": [{"text": "x"}]}, 422, "either texts or"),
        ({"search": "movies", "texts": ["x"], "size": 3}, 422, "size: "),
        ({"search": "movies", "rows": [{"body": "x"}]}, 422, "rows.0: no column 'text'"),
        ({"search": "pairs", "texts": ["x"]}, 422, "reads the columns text, other: send rows"),
        ({"search": "pairs", "rows": [{"text": "x"}]}, 422, "rows.0: no column 'other'"),
        ({"search": "quiz", "rows": [{"text": "x", "options": "a"}]}, 422, "no JSON list"),
        ({"search": "movies", "texts": ["x" * 301]}, 422, "text 0 has 301 characters"),
        ({"search": "movies", "texts": ["x"] * 41}, 422, "41 texts, and a request may have 40"),
        ({"search": "movies", "texts": ["x" * 20_001]}, 413, "more than 20000 bytes"),
        ([], 422, "body: "),
    ],
)
def test_a_bad_request(body: Any, status: int, words: str, server: Server) -> None:
    response = server.post("/v1/predict", body)
    assert (response.status_code, words in response.json()["detail"]) == (status, True), (
        response.text
    )


def test_a_body_that_does_not_say_how_long_it_is(server: Server) -> None:
    def endless() -> Iterator[bytes]:
        yield from [b" " * 1000] * 30

    response = server.post("/v1/predict", data=endless())
    assert response.status_code == 413


def test_no_body_and_no_json(server: Server) -> None:
    for content in (b"", b"{", b"\xff"):
        headers = {"Content-Type": "application/json"}
        response = server.post("/v1/predict", data=content, headers=headers)
        assert response.status_code in (400, 422), response.text


def test_a_bad_request_spoils_no_other_in_its_batch(server: Server, offline: Predictor) -> None:
    good = asked_of("quiz", 3)
    expected = offline.answer({"quiz": good})["quiz"]
    bad = [{"text": "x", "options": '["one"]'}]
    with stopped(server), ThreadPoolExecutor(9) as pool:
        requested = [good, bad] * 4
        responses = [
            pool.submit(server.post, "/v1/predict", body_of("quiz", own)) for own in requested
        ]
        wait(responses, timeout=0.5)
        resume(server)
        for own, response in zip(requested, responses, strict=True):
            answer = response.result()
            if own is bad:
                assert (answer.status_code, "1 options" in answer.text) == (422, True)
            else:
                assert is_right(answer.json()["predictions"], expected)


# More than can be answered


class stopped:  # noqa: N801 - reads as a word
    """While the replicas compute nothing."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __enter__(self) -> None:
        for replica in self._server.replicas():
            replica.suspend()

    def __exit__(self, *error: object) -> None:
        resume(self._server)


def resume(server: Server) -> None:
    for replica in server.replicas():
        replica.resume()


def test_past_the_limit_requests_are_refused_and_those_taken_in_are_answered(
    server: Server, offline: Predictor
) -> None:
    texts = asked_of("movies", 40)
    expected = offline.answer({"movies": texts})["movies"]
    with stopped(server), ThreadPoolExecutor(4) as pool:
        sent = {pool.submit(server.post, "/v1/predict", body_of("movies", texts)) for _ in range(4)}
        waiting = sent
        while len(waiting) > 1:
            done, waiting = wait(waiting, timeout=60, return_when=FIRST_COMPLETED)
            assert done
            for response in done:
                refused = response.result()
                assert refused.status_code == 429
                assert f"of {LIMITS['max-waiting']}" in refused.json()["detail"]
                assert int(refused.headers["Retry-After"]) >= 1
        resume(server)
        [response] = waiting
        assert is_right(response.result().json()["predictions"], expected)


def test_a_replica_killed_under_load(server: Server, offline: Predictor) -> None:
    asked = {name: asked_of(name, 4) for name in ("movies", "stars", "pairs")}
    expected = offline.answer(asked)

    def ask(number: int) -> bool:
        name = list(asked)[number % 3]
        return is_right(predicted(server, name, asked[name]), expected[name])

    with stopped(server), ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(ask, number) for number in range(16)]
        wait(answers, timeout=1)
        [victim] = server.replicas()
        victim.kill()
        assert all(answer.result() for answer in answers)
        assert all(pool.map(ask, range(30)))
    assert victim not in server.replicas()


# A better ensemble


def test_a_better_ensemble_is_answered_by_without_an_error(
    server: Server, db: str, offline: Predictor
) -> None:
    store = Store.open(db, create=False)
    record = store.find("topics")
    before = record.ensemble
    assert before is not None
    texts = asked_of("topics", 4)
    old = offline.answer({"topics": texts})["topics"]
    store.update_search(
        record.id, ensemble=before | {"members": before["members"][-1:], "weights": [1.0]}
    )
    new = autoprompt.load("topics", db=db).ensemble.predict(texts)
    assert not is_right([vars(own) for own in old], new)
    try:
        in_a_row = 0
        while in_a_row < 3:
            found = predicted(server, "topics", texts)
            in_a_row = in_a_row + 1 if is_right(found, new) else 0
            assert in_a_row or is_right(found, old)

        def members() -> int:
            told = server.get("/v1/searches").json()["searches"]
            return next(row["members"] for row in told if row["name"] == "topics")

        wait_for(lambda: members() == 1, 60, "the new ensemble")
        store.update_search(record.id, ensemble=None)  # as while it is resumed
        assert is_right(predicted(server, "topics", texts), new)
    finally:
        store.update_search(record.id, ensemble=before)


# Decisions


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url, api_key=server.token) as client:
        yield client


def test_a_client_of_the_decision_format(client: Client, offline: Predictor) -> None:
    state = {"text": "the plot is dull", "other": "the cast"}
    expected = {
        name: offline.answer({name: [state if name == "pairs" else state["text"]]})[name][0]
        for name in ("movies", "pairs", "stars")
    }
    response = client.system_one(
        state,
        {
            "movies": Choice("Which?", {"positive": "a good one", "negative": None}),
            "stars": Score("How good is it?", ["1", "3", "5"]),
            "pairs": Noul("Is it?"),
        },
    )
    choice, score = response.choices["movies"], response.scores["stars"]
    probabilities = expected["movies"].probabilities
    assert choice.choice == expected["movies"].label
    assert choice.probabilities == pytest.approx(probabilities, abs=1e-4)
    assert choice.confidence == pytest.approx(2 * max(probabilities.values()) - 1, abs=1e-3)
    levels = list(expected["stars"].probabilities.values())
    assert score.legend == {"0": "1", "1": "3", "2": "5"}
    assert list(score.probabilities.values()) == pytest.approx(levels, abs=1e-4)
    assert score.score == pytest.approx(levels[1] + 2 * levels[2], abs=1e-3)
    yes = expected["pairs"].probabilities["yes"]
    assert response.nouls["pairs"].noul == pytest.approx(yes, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "question", "words"),
    [
        ("moods", Noul("?"), "no search 'moods'"),
        ("movies", Noul("?"), "labels true and false, or yes and no"),
        ("movies", Choice("?", {"good": None, "bad": None}), "labels, negative, positive"),
        ("stars", Score("?", ["5", "3", "1"]), "in the scale's order"),
        ("movies", Score("?", ["negative", "positive", "so so"]), "the levels must be"),
        ("topics", Choice("?", {"plot": None, "cast": None}), "answers several_labels"),
        ("pairs", Noul("?"), "reads text, other"),
        ("movies", {"type": "box"}, "questions.movies"),
    ],
)
def test_a_question_that_no_search_answers(
    name: str, question: Any, words: str, client: Client
) -> None:
    with pytest.raises(SystemOneError, match=words) as caught:
        client.system_one("dull", {name: question})
    assert caught.value.status == 422


def test_another_token_is_refused(server: Server) -> None:
    with Client(server.url, api_key="x" * 32) as stranger, pytest.raises(SystemOneError) as caught:
        stranger.system_one("dull", {"pairs": Noul("?")})
    assert caught.value.status == 401


# What is told of it


def test_openapi_tells_what_is_answered(server: Server) -> None:
    schema = requests.get(f"{server.url}/openapi.json", timeout=60).json()
    assert set(schema["paths"]) == {
        "/v1/predict", "/v1/searches", "/v1/systemone", "/health", "/metrics",
    }  # fmt: skip
    assert {"401", "404", "413", "422", "429", "503"} <= set(
        schema["paths"]["/v1/predict"]["post"]["responses"]
    )
    said = {
        "PredictResponse": server.post("/v1/predict", body_of("stars", asked_of("stars"))),
        "SearchesResponse": server.get("/v1/searches"),
        "Refusal": server.post("/v1/predict", {}),
    }
    for name, response in said.items():
        whole = {"$ref": f"#/components/schemas/{name}", "components": schema["components"]}
        jsonschema.validate(response.json(), whole)


def test_what_prometheus_is_told(server: Server) -> None:
    predicted(server, "words", ["dull", "warm"])

    def told() -> bool:
        lines = server.get("/metrics").text.splitlines()
        counts = {
            line.split("{")[0]: float(line.rsplit(" ", 1)[1])
            for line in lines
            if not line.startswith("#") and ('search="words"' in line or "refused" in line)
        }
        return (
            counts.get("ray_autoprompt_served_texts_total", 0) >= 2
            and counts.get("ray_autoprompt_refused_requests_total", 0) >= 1
            and any(line.startswith("ray_autoprompt_batch_texts_bucket") for line in lines)
        )

    server.post("/v1/predict", {})
    wait_for(told, 60, "the counts")


def test_the_token_is_written_nowhere(server: Server) -> None:
    places = [server.log, *(path for path in server.ray_folder.rglob("*") if path.is_file())]
    assert len(places) > 10
    assert [path for path in places if server.token.encode() in path.read_bytes()] == []
    family = [psutil.Process(server.process.pid)]
    family += family[0].children(recursive=True)
    assert not any(server.token in " ".join(process.cmdline()) for process in family)
    assert not any(
        server.token in process.environ().values() for process in family if process != family[0]
    )


@pytest.mark.parametrize("place", [0, 1])
def test_the_pages_python_runs(
    place: int, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)[place]
    monkeypatch.setenv("AUTOPROMPT_SERVE_TOKEN", server.token)
    code = code.replace("http://127.0.0.1:8000", server.url)
    exec(compile(code, "docs/serving.md", "exec"), {})  # noqa: S102 - our own page
    assert len(capsys.readouterr().out.splitlines()) == (2 + len(TASKS), 2)[place]


# The end


def test_sigterm_ends_it_once_all_is_answered(server: Server, offline: Predictor) -> None:
    texts = asked_of("movies", 6)
    expected = offline.answer({"movies": texts})["movies"]
    with ThreadPoolExecutor(2) as pool, stopped(server):
        answer = pool.submit(predicted, server, "movies", texts)
        wait([answer], timeout=1)
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping" in server.log.read_text(), 60, "the end")
        resume(server)
        assert is_right(answer.result(), expected)
    assert server.process.wait(120) == 0
    assert "Traceback" not in server.log.read_text()
