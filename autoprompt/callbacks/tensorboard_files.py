"""A search as TensorBoard's event files: a run a trial, and one of the search.

They lie in AUTOPROMPT_TENSORBOARD, else in `runs` where the search was started: `tensorboard
--logdir runs` shows them.
"""

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from autoprompt.callbacks.callback import Callback, Conclusion, TrialEnd, TrialReport, TrialStart
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.store import SearchRecord
from autoprompt.workers.extras import demand

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

#: After so long at most, what was reported can be seen.
_FLUSH_SECONDS = 10

#: What the table of hyperparameters shows beside them.
_MEASURED = {"score": 0.0, "loss": 0.0}


class TensorboardFiles(Callback):
    """Writes what a search's trials report as scalars, a step a rung, and their parameters.

    Raises:
        ConfigError: tensorboardX is missing, or the folder cannot be one.
    """

    def __init__(self) -> None:
        demand("tensorboardX", "tensorboard")
        self._folder = Path(os.environ.get("AUTOPROMPT_TENSORBOARD") or "runs").expanduser()
        self._folder = self._folder.absolute()
        above = next(path for path in (self._folder, *self._folder.parents) if path.exists())
        if not (above.is_dir() and os.access(above, os.W_OK)):
            raise ConfigError(
                f"tensorboard: {self._folder}: cannot be a folder, as {above} "
                f"{'cannot be written to' if above.is_dir() else 'is a file'}; set "
                "AUTOPROMPT_TENSORBOARD to another one"
            )
        self._own: Path | None = None
        self._writers: dict[int | None, SummaryWriter] = {}

    def search_started(self, search: SearchRecord) -> None:
        # Another store may have a search of that name.
        name = re.sub(r"[^\w.-]+", "-", search.name)
        self._own = self._folder / f"{name}-{search.started_at:%Y%m%d-%H%M%S}"

    def trial_started(self, trial: TrialStart) -> None:
        from tensorboardX.summary import hparams

        writer = self._writer(trial.number)
        if writer is not None:
            params = {"kind": trial.kind} | {
                name: value if isinstance(value, (bool, int, float, str)) else str(value)
                for name, value in trial.params.items()
            }
            table, begun, _ = hparams(params, _MEASURED)
            writer.file_writer.add_summary(table)
            writer.file_writer.add_summary(begun)

    def trial_reported(self, trial: TrialReport) -> None:
        self._write(trial.number, trial.measured, trial.step)

    def trial_ended(self, trial: TrialEnd) -> None:
        if trial.score is not None:
            # How the search went, trial by trial.
            self._write(None, {"score": trial.score}, trial.number)
        writer = self._writers.pop(trial.number, None)
        if writer is not None:
            from tensorboardX.summary import hparams

            _, _, over = hparams({}, _MEASURED)
            writer.file_writer.add_summary(over)
            writer.close()

    def search_concluded(self, conclusion: Conclusion) -> None:
        writer = self._writer(None)
        if writer is not None:
            writer.add_text("prompt", conclusion.text, conclusion.best)
            self._write(None, conclusion.test_scores, conclusion.best)

    def search_ended(self, search: SearchRecord) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
        self._own = None

    def _write(self, number: int | None, scalars: dict[str, float], step: int) -> None:
        writer = self._writer(number)
        if writer is not None:
            for name, value in scalars.items():
                writer.add_scalar(name, value, step)

    def _writer(self, number: int | None) -> "SummaryWriter | None":
        """Of a trial, or of the search itself; None where no search has begun."""
        from tensorboardX import SummaryWriter

        if self._own is None:
            return None
        if number not in self._writers:
            folder = self._own if number is None else self._own / f"trial-{number:04}"
            # Files are read in the order of their names, which tell seconds alone: a resume may
            # begin one in the same second.
            suffix = f".{time.time_ns()}"
            self._writers[number] = SummaryWriter(
                str(folder), flush_secs=_FLUSH_SECONDS, filename_suffix=suffix
            )
        return self._writers[number]
