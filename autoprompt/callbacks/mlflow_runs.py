"""A search in MLflow: a run a search, and a child run a trial.

Where the server is, and who asks, MLflow's own variables say: MLFLOW_TRACKING_URI,
MLFLOW_TRACKING_TOKEN, MLFLOW_EXPERIMENT_NAME and their like. Runs are found again by a tag, so a
search that is resumed, or a request whose answer was lost, makes no second one.
"""

import hashlib
import json
import math
import os
import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from autoprompt.callbacks.callback import Callback, Conclusion, TrialEnd, TrialReport, TrialStart
from autoprompt.callbacks.outbox import Outbox
from autoprompt.store import SearchRecord, State
from autoprompt.workers.extras import demand

if TYPE_CHECKING:
    from mlflow import MlflowClient

_EXPERIMENT = "autoprompt"

#: How requests are made where the user says nothing: MLflow's own would take minutes to fail.
SHORT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}

#: By which a run is known; the trial's number follows behind a slash.
_KEY = "autoprompt.key"

#: What MLflow takes of one batch, one parameter and one tag.
_BATCH, _LONGEST_VALUE, _LONGEST_TAG = 100, 6000, 5000

#: How MLflow calls the end of a search or a trial.
_STATUS = {State.FAILED: "FAILED", State.STOPPED: "KILLED"}


class MlflowRuns(Callback):
    """Logs a search as runs, beside it: an MLflow that is slow or away costs it nothing."""

    def __init__(self) -> None:
        demand("mlflow", "mlflow")
        self._log: _Runs | None = None

    def search_started(self, search: SearchRecord) -> None:
        self._log = _Runs(search)

    def trial_started(self, trial: TrialStart) -> None:
        if self._log is not None:
            self._log.trial_started(trial)

    def trial_reported(self, trial: TrialReport) -> None:
        if self._log is not None:
            self._log.trial_reported(trial)

    def trial_ended(self, trial: TrialEnd) -> None:
        if self._log is not None:
            self._log.trial_ended(trial)

    def search_concluded(self, conclusion: Conclusion) -> None:
        if self._log is not None:
            self._log.search_concluded(conclusion)

    def search_ended(self, search: SearchRecord) -> None:
        if self._log is not None:
            self._log.search_ended(search)
            self._log = None


class _Runs:
    """The runs of one search. What is named `_send...` is done by the outbox's thread alone."""

    def __init__(self, search: SearchRecord) -> None:
        for name, value in SHORT.items():
            os.environ.setdefault(name, value)
        began = f"{search.name} {search.started_at.isoformat()}"
        self._key = hashlib.sha256(began.encode()).hexdigest()[:16]
        self._search = search
        self._client: MlflowClient | None = None
        self._experiment = ""
        #: By their keys: the search's own, and its trials'.
        self._runs: dict[str, str] = {}
        #: Trials that have not ended.
        self._live: set[int] = set()
        self._outbox = Outbox(_server, _is_away, _reason)
        self._outbox.put(self._send_search)

    def trial_started(self, trial: TrialStart) -> None:
        tags = {"autoprompt.state": State.RUNNING, "autoprompt.kind": trial.kind}
        self._put(trial.number, tags=tags, params=trial.params, status="RUNNING")
        self._live.add(trial.number)

    def trial_reported(self, trial: TrialReport) -> None:
        self._put(trial.number, metrics=trial.measured, step=trial.step)

    def trial_ended(self, trial: TrialEnd) -> None:
        tags = {"autoprompt.state": str(trial.state)} | (
            {"error": trial.error} if trial.error else {}
        )
        status = _STATUS.get(trial.state, "FINISHED")
        self._put(trial.number, tags=tags, status=status)
        self._live.discard(trial.number)
        if trial.prompt is not None:
            self._put_file(trial.number, "prompt.txt", trial.prompt.encode())
        if trial.score is not None:
            # How the search went, trial by trial.
            self._put(metrics={"score": trial.score}, step=trial.number)

    def search_concluded(self, conclusion: Conclusion) -> None:
        metrics = {"best_score": conclusion.score} | conclusion.test_scores
        self._put(metrics=metrics, tags={"autoprompt.best": conclusion.best})
        self._put_file(None, "prompt.txt", conclusion.text.encode())
        self._put_file(None, "prompt.safetensors", conclusion.prompt)
        if conclusion.test is not None:
            document = json.dumps(conclusion.test, indent=2, ensure_ascii=False)
            self._put_file(None, "test.json", document.encode())
        if conclusion.question is not None:
            self._outbox.put(lambda: self._send_prompt(conclusion))

    def search_ended(self, search: SearchRecord) -> None:
        tags = {"autoprompt.state": str(search.state)}
        tags |= {"error": search.error} if search.error else {}
        status = _STATUS.get(search.state, "FINISHED")
        for number in self._live:
            self._put(number, tags={"autoprompt.state": State.STOPPED}, status="KILLED")
        self._put(tags=tags, status=status)
        self._outbox.close()

    def _put(
        self,
        number: int | None = None,
        *,
        metrics: Mapping[str, float] | None = None,
        step: int = 0,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        status: str | None = None,
    ) -> None:
        """Have these logged: of a trial, or without a number of the search."""
        now = int(time.time() * 1000)
        rows = [
            (name, float(value), now, step)
            for name, value in (metrics or {}).items()
            if math.isfinite(value)
        ]

        def send() -> None:
            from mlflow.entities import Metric, Param, RunTag

            client, run = self._send_to(number)
            client.log_batch(
                run,
                metrics=[Metric(*row) for row in rows],
                params=[Param(name, _short(value)) for name, value in (params or {}).items()],
                tags=[
                    RunTag(name, str(value)[:_LONGEST_TAG]) for name, value in (tags or {}).items()
                ],
            )
            if status == "RUNNING":
                client.update_run(run, status)
            elif status is not None:
                client.set_terminated(run, status, now)

        self._outbox.put(send)

    def _put_file(self, number: int | None, name: str, content: bytes) -> None:
        def send() -> None:
            client, run = self._send_to(number)
            with tempfile.TemporaryDirectory(prefix="autoprompt-") as folder:
                (Path(folder) / name).write_bytes(content)
                client.log_artifact(run, str(Path(folder) / name))

        self._outbox.put(send)

    def _send_search(self) -> None:
        """The search's own run, running, and what was asked of it."""
        from mlflow.entities import Param

        client, run = self._send_to(None)
        client.update_run(run, "RUNNING")
        params = [Param(name, _short(value)) for name, value in _flat(self._search.config).items()]
        for first in range(0, len(params), _BATCH):
            client.log_batch(run, params=params[first : first + _BATCH])

    def _send_to(self, number: int | None) -> tuple["MlflowClient", str]:
        """The client, and a run's id: found, or made."""
        if self._client is None:
            from mlflow import MlflowClient

            client = MlflowClient()
            self._experiment = _experiment(client)
            self._client = client
        key = self._key if number is None else f"{self._key}/{number}"
        if key not in self._runs:
            self._runs[key] = self._found(key) or self._made(key, number)
        return self._client, self._runs[key]

    def _found(self, key: str) -> str | None:
        assert self._client is not None
        known = self._client.search_runs(
            [self._experiment], f"tags.`{_KEY}` = '{key}'", max_results=1
        )
        return known[0].info.run_id if known else None

    def _made(self, key: str, number: int | None) -> str:
        assert self._client is not None
        search = self._search
        tags = {_KEY: key, "autoprompt.search": search.name}
        if number is None:
            name = search.name
            tags |= {"autoprompt.model": search.model, "autoprompt.metric": search.metric}
            tags |= {"mlflow.user": search.owner} if search.owner else {}
            tags |= {"autoprompt.tags": " ".join(search.tags)} if search.tags else {}
            tags |= {
                f"autoprompt.version.{part}": str(version)
                for part, version in search.versions.items()
            }
        else:
            name = f"trial {number}"
            tags |= {"mlflow.parentRunId": self._send_to(None)[1], "autoprompt.trial": str(number)}
        tags = {tag: value[:_LONGEST_TAG] for tag, value in tags.items()}
        return self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id

    def _send_prompt(self, conclusion: Conclusion) -> None:
        """A version of the prompt in the registry, unless the last one is this search's."""
        from mlflow import MlflowClient

        client, _ = self._send_to(None)
        assert isinstance(client, MlflowClient)
        assert conclusion.question is not None
        name = re.sub(r"[^\w.-]+", "-", self._search.name, flags=re.ASCII)
        last = client.load_prompt(f"prompts:/{name}@latest", allow_missing=True)
        if last is None or last.tags.get(_KEY) != self._key:
            # MLflow writes {{text}} where a template has {text}.
            client.register_prompt(
                name,
                re.sub(r"\{([^\W\d]\w*)\}", r"{{\1}}", conclusion.question),
                commit_message=f"trial {conclusion.hard} of the search {self._search.name}",
                tags={_KEY: self._key, "autoprompt.model": self._search.model},
            )


def _experiment(client: "MlflowClient") -> str:
    """The id of the experiment that MLflow's variables name, made where it is not there."""
    from mlflow.exceptions import MlflowException

    given = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if given:
        return given
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
    known = client.get_experiment_by_name(name)
    if known is None:
        try:
            return client.create_experiment(name)
        except MlflowException:
            # Another search made it at the same moment.
            known = client.get_experiment_by_name(name)
            if known is None:
                raise
    return str(known.experiment_id)


def _server() -> str:
    """How MLflow's server is spoken of, without a password."""
    import mlflow

    parts = urlsplit(mlflow.get_tracking_uri())
    return f"MLflow at {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _is_away(error: Exception) -> bool:
    """Whether nothing answered: MLflow's own error for that has the reason behind it."""
    import requests

    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, (requests.ConnectionError, requests.Timeout)):
            return True
        behind = behind.__cause__ or behind.__context__
    return False


def _reason(error: Exception) -> str:
    """What MLflow calls an error; its message may hold the URL, with a password in it."""
    code = getattr(error, "error_code", None)
    return str(error) if isinstance(error, ImportError) else str(code or type(error).__name__)


def _flat(content: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """A configuration's values by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{path}{name}.")
        elif value not in (None, (), [], {}):
            flat[f"{path}{name}"] = value
    return flat


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text[:_LONGEST_VALUE]
