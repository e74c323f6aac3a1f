"""Export: a search's prompts as a folder that other tools read.

Both formats hold `prompt.json` (the task as token ids, and every prompt), `predict.py` and
`answers.py` (a loader that needs no Autoprompt) and `README.md` (the model card). The vectors of
soft prompts lie beside them: for `peft` as an adapter that `peft.PeftModel.from_pretrained` loads,
for `json` in `prompts.safetensors`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save_file
from torch import Tensor

from autoprompt.config import SearchConfig
from autoprompt.export.model_card import model_card
from autoprompt.export.peft_adapter import check_peft, save_adapter
from autoprompt.new_files import made_whole
from autoprompt.search_model import model_of
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.shown_paths import shown_path
from autoprompt.statistics.abstention import Abstention
from autoprompt.store import PromptRecord
from autoprompt.stored_search import StoredSearch
from autoprompt.workers.combination import Combination, heads
from autoprompt.workers.model_config import Family, context_length, decoder_start, family_of
from autoprompt.workers.model_loading import read_tokenizer
from autoprompt.workers.prompt import Prompt, by_wording
from autoprompt.workers.recalibration import Recalibration, recalibration
from autoprompt.workers.scoring import longest_text
from autoprompt.workers.task import Task, build_task
from autoprompt.workers.wording import Wording

Format = Literal["peft", "json"]

#: Rises when a reader has to change; a folder is read by the loader in it alone. 2: the model by
#: its name, not its path; columns of a row; a task of a prompt's own. 3: words that are judged as a
#: tree. 4: how the prompts answer together, and when they do not. 5: kinds of answers; the shape of
#: what was trained.
_VERSION = 5

#: What uses the prompts with transformers alone.
_LOADER = ("predict.py", "answers.py")

#: The kinds of answers that it knows.
_KINDS = ("label_words", "options", "scale", "several_labels", "text", "spans")


def export(
    result: StoredSearch,
    folder: str | Path,
    form: Format = "json",
    *,
    trial: int | None = None,
    ensemble: bool = False,
) -> Path:
    """Write prompts of a search to a new folder: the best trial's unless told otherwise.

    Args:
        trial: this trial's prompt.
        ensemble: every member's, with their votes; `json` only.

    Raises:
        BadInputError: the folder exists, there is no such prompt, a baseline votes, or PEFT cannot
            express it.
        ModelError: the model is no longer where it was, or no longer the same.
        SearchUnfinishedError: no trial has a score yet.
    """
    with made_whole(Path(folder), "--out") as unfinished:
        records = _chosen(result, trial, ensemble)
        prompts = [Prompt.from_bytes(record.content) for record in records]
        if form == "peft":
            check_peft(result, records, prompts)
        config = SearchConfig.model_validate(result.record.config)
        config = config.model_copy(update={"model": model_of(result.record)})
        family, tasks = _tasks(config, prompts)
        if form == "peft" and family == "masked":
            raise BadInputError(
                "--format peft: PEFT's prompt tuning is for models that write, this one fills "
                "masks; use --format json"
            )
        unfinished.mkdir()
        stored = _save_vectors(unfinished, form, config, family, records, prompts)
        vote, rule = _vote(result, records, ensemble)
        document = {
            "version": _VERSION,
            "search": result.name,
            "model": {
                "name": shown_path(config.model.path),
                "on_hub": not config.model.is_local,
                "adapter": config.model.adapter and shown_path(config.model.adapter),
                "family": family,
                "dtype": config.model.dtype,
                "revision": config.model.revision or "main",
                "fingerprint": result.record.versions["model"],
            },
            "task": tasks[0],
            "wording": Wording.of(config.task).model_dump(mode="json"),
            "longest_prompt": config.space.longest_prompt(),
            "vote": vote.as_dict(),
            "abstain": rule and rule.as_dict(),
            "prompts": [
                {
                    "trial": record.number,
                    "fold": record.fold,
                    "kind": prompt.kind,
                    "score": record.score,
                    "weight": weight,
                    "position": prompt.position,
                    "front": prompt.front,
                    "text": prompt.text,
                    "token_ids": prompt.token_ids,
                    "prior": prompt.prior,
                }
                | (
                    {"rows" if prompt.rows is not None else "vectors": stored[place]}
                    if place in stored
                    else {}
                )
                | ({} if task == tasks[0] else {"task": task})
                | (
                    {"wording": prompt.wording.model_dump(mode="json")}
                    if prompt.reworded and prompt.wording is not None
                    else {}
                )
                for place, (record, prompt, weight, task) in enumerate(
                    zip(records, prompts, vote.weights, tasks, strict=True)
                )
            ],
        }
        _write(unfinished / "prompt.json", json.dumps(document, indent=2, ensure_ascii=False))
        for name in _LOADER:
            code = resources.files(__package__) / "templates" / name
            _write(unfinished / name, code.read_text(encoding="utf-8"))
        _write(unfinished / "README.md", model_card(result, config, document, form, ensemble))
    return Path(folder)


def _chosen(result: StoredSearch, trial: int | None, ensemble: bool) -> list[PromptRecord]:
    if ensemble and trial is not None:
        raise BadInputError("--ensemble and --trial: choose one of them")
    if ensemble:
        members = [one for one in result.ensemble.members if isinstance(one, PromptRecord)]
        if others := result.ensemble.baselines:
            raise BadInputError(
                f"--ensemble: {', '.join(others)} {'vote' if others[1:] else 'votes'}, and an "
                "export holds prompts alone; without --ensemble it is the best prompt, of trial "
                f"{result.best.number}"
            )
        return members
    if trial is None or trial == result.record.best:
        return [result.best_prompt]
    records = result.prompts([trial])
    if not records:
        raise BadInputError(
            f"--trial {trial}: search {result.name!r} has no such trial with a prompt that all "
            "validation texts judged; "
            f"`autoprompt trials {result.name}` lists them"
        )
    return records


def _vote(
    result: StoredSearch, records: Sequence[PromptRecord], ensemble: bool
) -> tuple[Combination, Abstention | None]:
    """How prompts answer together, and when they do not; of a single one, how its probabilities are
    recalibrated, where its kind of answers has some."""
    if ensemble:
        return result.ensemble.combination, result.ensemble.abstention
    if not result.answers.categorical:
        return heads([1.0]), None
    [record] = records
    if record.number == result.record.best and result.record.calibration:
        own = Recalibration.from_dict(result.record.calibration)
    else:
        said = result.answers.unpacked(record.log_probs)
        own = recalibration(said, result.validation_labels, result.answers.biased)
    return replace(heads([1.0]), joint=own), None


def _tasks(config: SearchConfig, prompts: Sequence[Prompt]) -> tuple[Family, list[dict[str, Any]]]:
    """The model's family, and what every prompt asks.

    Raises:
        BadInputError: the loader does not know the kind of answers.
    """
    kind = config.task.answers
    if kind not in _KINDS:
        raise BadInputError(
            f"export: the loader in the folder knows {', '.join(_KINDS)}, not {kind}; label with "
            "`autoprompt predict`"
        )
    tokenizer, model_config = read_tokenizer(config.model)
    family = family_of(model_config) or "causal"
    longest = config.space.longest_prompt()
    tasks: list[dict[str, Any]] = [{}] * len(prompts)
    for wording, places in by_wording(prompts, config.task):
        own = _as_dict(build_task(wording, tokenizer, family), family, model_config, longest)
        task = {"answers": kind} | own
        for place in places:
            tasks[place] = task
    return family, tasks


def _as_dict(task: Task, family: Family, model_config: Any, longest_prompt: int) -> dict[str, Any]:
    """A task as plain values: all that a reader needs who does not know how a tokenizer joins
    words. `longest_text` is in tokens, those of the template included."""
    question = task.question
    start = decoder_start(model_config) if family == "seq2seq" else None
    return {
        "head": question.template.head,
        "columns": [
            {"before": before, "column": column} for before, column in question.template.parts
        ],
        "tail": question.template.tail,
        "begin_ids": question.begin_ids,
        "tail_ids": question.tail_ids,
        "end_ids": question.end_ids,
        "mask": question.mask,
        "decoder_ids": () if start is None else (start, *question.answer_ids),
        **task.readout.as_dict(),
        "longest_text": longest_text(context_length(model_config), task, longest_prompt),
    }


def _save_vectors(
    folder: Path,
    form: Format,
    config: SearchConfig,
    family: Family,
    records: Sequence[PromptRecord],
    prompts: Sequence[Prompt],
) -> dict[int, dict[str, Any]]:
    """Write what was trained, vectors or rows; a prompt's place -> the file and tensor that hold
    it, and its shape, which an adapter flattens."""
    trained = {
        place: numbers
        for place, prompt in enumerate(prompts)
        for numbers in (prompt.vectors, prompt.rows)
        if numbers is not None
    }
    if form == "peft":
        [(place, numbers)] = trained.items()
        save_adapter(folder, config, family, numbers)
        return _stored("adapter_model.safetensors", {place: "prompt_embeddings"}, trained)
    names = {
        place: f"trial-{records[place].number}"
        + (f"-fold-{records[place].fold}" if records[place].fold else "")
        for place in trained
    }
    if trained:
        tensors = {names[place]: numbers.contiguous() for place, numbers in trained.items()}
        save_file(tensors, folder / "prompts.safetensors")
    return _stored("prompts.safetensors", names, trained)


def _stored(
    file: str, names: Mapping[int, str], trained: Mapping[int, Tensor]
) -> dict[int, dict[str, Any]]:
    """Where prompts' numbers lie in a file."""
    return {
        place: {"file": file, "tensor": name, "shape": list(trained[place].shape)}
        for place, name in names.items()
    }


def _write(path: Path, content: str) -> None:
    path.write_text(content.rstrip("\n") + "\n", encoding="utf-8")
