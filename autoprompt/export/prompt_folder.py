"""Export: a search's prompts as a folder that other tools read.

All formats hold `prompt.json` (the task as token ids, and every prompt), `predict.py` with
`inputs.py` and `answers.py` (a loader that needs no Autoprompt; for `vllm` a client, `client.py`)
and `README.md` (the model card). The vectors of soft prompts lie beside them: for `peft` as an
adapter that `peft.PeftModel.from_pretrained` loads, for `json` and `vllm` in `prompts.safetensors`,
for `tokens` as rows of the whole model.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save_file

from autoprompt.config import SearchConfig
from autoprompt.export.model_card import model_card
from autoprompt.export.peft_adapter import check_peft, save_adapter
from autoprompt.export.portable import check_embeddings
from autoprompt.export.task_document import task_documents
from autoprompt.new_files import made_whole
from autoprompt.search_model import model_of
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.shown_paths import shown_path
from autoprompt.statistics.abstention import Abstention
from autoprompt.store import PromptRecord
from autoprompt.stored_search import StoredSearch
from autoprompt.workers.combination import Combination, heads
from autoprompt.workers.model_config import Family
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.recalibration import Recalibration, recalibration
from autoprompt.workers.wording import Wording

Format = Literal["peft", "json", "tokens", "vllm"]

#: Rises when a reader has to change; a folder is read by the loader in it alone. 2: the model by
#: its name, not its path; columns of a row; a task of a prompt's own. 3: words that are judged as a
#: tree. 4: how the prompts answer together, and when they do not. 5: kinds of answers; the shape of
#: what was trained.
_VERSION = 5

#: What uses the prompts with transformers alone, or with a server.
_LOADER = ("predict.py", "inputs.py", "answers.py")
_CLIENT = ("client.py", "inputs.py", "answers.py")


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
        ensemble: every member's, with their votes; not for `peft`.

    Raises:
        BadInputError: the folder exists, there is no such prompt, a baseline votes, or the format
            cannot express it.
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
        family, tasks = task_documents(config, prompts)
        if form == "peft" and family == "masked":
            raise BadInputError(
                "--format peft: PEFT's prompt tuning is for models that write, this one fills "
                "masks; use --format json"
            )
        if form in ("tokens", "vllm"):
            check_embeddings(form, result, family, records, prompts)
        unfinished.mkdir()
        stored = _save(unfinished, form, config, family, records, prompts, tasks)
        vote, rule = _vote(result, records, ensemble)
        document = {
            "version": _VERSION,
            "search": result.name,
            "model": {
                "name": shown_path(config.model.path),
                "on_hub": not config.model.is_local,
                "in_folder": form == "tokens",
                "adapter": None
                if form == "tokens"
                else config.model.adapter and shown_path(config.model.adapter),
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
                | stored.get(place, {})
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
        for name in _CLIENT if form == "vllm" else _LOADER:
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


def _save(
    folder: Path,
    form: Format,
    config: SearchConfig,
    family: Family,
    records: Sequence[PromptRecord],
    prompts: Sequence[Prompt],
    tasks: Sequence[Mapping[str, Any]],
) -> dict[int, dict[str, Any]]:
    """Write what was trained; a prompt's place -> what prompt.json says of where it is."""
    if form == "tokens":
        # Imported here: transformers and gguf take their time.
        from autoprompt.export.token_model import save_tokens

        spelled = save_tokens(folder, config, prompts, tasks)
        return {
            place: {
                "token_ids": own.token_ids,
                "server_text": own.text,
                "server_ids": own.before + own.behind,
            }
            for place, own in enumerate(spelled)
        }
    if form == "vllm":
        from autoprompt.export.input_embeddings import save_input_embeddings

        save_input_embeddings(folder, config)
    trained = {
        place: numbers
        for place, prompt in enumerate(prompts)
        for numbers in (prompt.vectors, prompt.rows)
        if numbers is not None
    }
    if form == "peft":
        [(place, numbers)] = trained.items()
        save_adapter(folder, config, family, numbers)
        return _stored("adapter_model.safetensors", {place: "prompt_embeddings"}, prompts)
    names = {
        place: f"trial-{records[place].number}"
        + (f"-fold-{records[place].fold}" if records[place].fold else "")
        for place in trained
    }
    if trained:
        tensors = {names[place]: numbers.contiguous() for place, numbers in trained.items()}
        save_file(tensors, folder / "prompts.safetensors")
    return _stored("prompts.safetensors", names, prompts)


def _stored(
    file: str, names: Mapping[int, str], prompts: Sequence[Prompt]
) -> dict[int, dict[str, Any]]:
    """Where prompts' numbers lie in a file, and their shapes, which an adapter flattens."""
    found = {}
    for place, name in names.items():
        kind = "rows" if prompts[place].rows is not None else "vectors"
        trained = prompts[place].rows if kind == "rows" else prompts[place].vectors
        assert trained is not None
        found[place] = {kind: {"file": file, "tensor": name, "shape": list(trained.shape)}}
    return found


def _write(path: Path, content: str) -> None:
    path.write_text(content.rstrip("\n") + "\n", encoding="utf-8")
