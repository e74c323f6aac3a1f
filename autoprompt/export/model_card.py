"""The model card of an export: what the prompts are, what they score, and where they came from."""

import json
import shlex
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from autoprompt.config import SearchConfig
from autoprompt.shown_paths import shown_data
from autoprompt.shown_sizes import shown_size
from autoprompt.stored_search import StoredSearch
from autoprompt.workers.model_files import licence
from autoprompt.workers.model_loading import read_tokenizer


@dataclass(frozen=True)
class _Kind:
    """What a card says of a kind of answers.

    Attributes:
        pipeline: the Hub's name for such tasks.
        does: what the model does with a prompt; {labels} are their names.
        read: how the answer is read of the model.
    """

    pipeline: str
    does: str
    read: str


_KINDS = {
    "label_words": _Kind(
        "text-classification",
        "chooses among {labels}",
        "a label is as probable as its words are next",
    ),
    "options": _Kind(
        "multiple-choice",
        "chooses among the options that each text brings along",
        "an option is as probable as its tokens are behind the question, by the {scoring} of "
        "their log-probabilities",
    ),
    "scale": _Kind(
        "text-classification",
        "puts a text on the scale {labels}",
        "the number is the expectation of the labels, each as probable as its words are next",
    ),
    "several_labels": _Kind(
        "text-classification",
        "gives a text any of {labels}, or none",
        "each label is asked for behind the template, and given where yes is likelier than no "
        "by more than the label's threshold (`prior`)",
    ),
    "text": _Kind(
        "text-generation",
        "writes an answer",
        "the answer is what the model writes next, the likeliest token after the likeliest token, "
        "up to {stop} or {longest} tokens",
    ),
    "spans": _Kind(
        "token-classification",
        "finds the parts of a text that are {labels}",
        "the model writes them next, as in `{entry}`, the likeliest token after the likeliest "
        "token, up to {stop} or {longest} tokens",
    ),
}

_SCORING = {"sum": "sum", "unconditional": "sum, less that behind no text,"}


def model_card(
    result: StoredSearch,
    config: SearchConfig,
    document: dict[str, Any],
    form: str,
    ensemble: bool,
) -> str:
    """Markdown with the front matter that the Hugging Face Hub reads.

    Args:
        document: prompt.json.
        ensemble: whether the prompts vote together.
    """
    # Markdown in a file, not HTML in a page: nothing to escape.
    environment = Environment(
        loader=PackageLoader("autoprompt.export"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701
    )
    environment.filters |= {"line": one_line, "size": shown_size}
    kind, tests = _kind(document["task"]), _tests(result, document, ensemble)
    words, added = _server_words(config, document) if form == "tokens" else ([], 0)
    body = environment.get_template("model_card.md.j2").render(
        kind=kind,
        search=result.record,
        config=config,
        document=document,
        form=form,
        ensemble=ensemble,
        template=_template(document["task"]),
        example=_example(document["task"]),
        columns=list(config.columns_in().values()),
        data=shown_data(config.data.model_dump()["path"]),
        auto_class="AutoModelFor"
        + ("Seq2SeqLM" if document["model"]["family"] == "seq2seq" else "CausalLM"),
        licence=licence(config.model),
        validation=result.ensemble.validation if ensemble else document["prompts"][0]["score"],
        tests=tests,
        baselines=[row for row in result.baselines if row["score"] is not None],
        verdicts=result.verdicts,
        words=words,
        new_tokens=added,
        has_gguf=config.model.is_gguf and config.model.adapter is None,
    )
    header = _header(result, config, form, kind, tests[1:][-1:])
    return str(ModelCard(f"---\n{header.to_yaml()}\n---\n\n{body}"))


def _header(
    result: StoredSearch,
    config: SearchConfig,
    form: str,
    kind: "_Kind",
    tested: list[tuple[str, dict[str, Any]]],
) -> ModelCardData:
    """The front matter that the Hub reads.

    Args:
        tested: how what was exported did on the test split; empty where that is not known.
    """
    named = shown_data(config.data.model_dump()["path"])
    scores = [
        EvalResult(
            task_type=kind.pipeline,
            dataset_type=named,
            dataset_name=named,
            dataset_split="test",
            metric_type=result.record.metric,
            metric_name=f"{result.record.metric}, 95% interval {row['low']:.4f} to "
            f"{row['high']:.4f}",
            metric_value=row["score"],
        )
        for _, row in tested
    ]
    return ModelCardData(
        base_model=None if config.model.is_local else config.model.path,
        library_name={"peft": "peft", "tokens": "transformers"}.get(form),
        pipeline_tag=kind.pipeline,
        tags=["autoprompt", "prompt-tuning"],
        model_name=one_line(result.name) if scores else None,
        eval_results=scores or None,
    )


def _server_words(
    config: SearchConfig, document: dict[str, Any]
) -> tuple[list[tuple[str, str, int]], int]:
    """What to compare in a server's answer, where the kind of answers has words: each label, the
    first token of each of its words, and that token's id; and how many tokens are new."""
    tokenizer, task = read_tokenizer(config.model)[0], document["task"]
    words = [
        (task["labels"][word["label"]], tokenizer.decode(word["ids"][:1]), word["ids"][0])
        for word in task.get("words", ())
    ]
    own = [len(prompt["server_ids"]) for prompt in document["prompts"]]
    return words, sum(own)


def one_line(text: str) -> str:
    """Text as a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")


def _template(task: dict[str, Any]) -> str:
    columns = "".join(f"{part['before']}{{{part['column']}}}" for part in task["columns"])
    return columns + str(task["tail"])


def _kind(task: dict[str, Any]) -> _Kind:
    """The kind of answers, told with a task's own words."""
    kind, words = _KINDS[task["answers"]], task.get("label_words", {})
    stops = [f"`{json.dumps(stop, ensure_ascii=False)}`" for stop in task.get("stop", ())]
    named = {
        "labels": ", ".join(map(one_line, task.get("labels", words))),
        "scoring": _SCORING.get(task.get("scoring", ""), "mean"),
        "stop": ", ".join([*stops, "its own end"]),
        "longest": task.get("longest_answer"),
        "entry": "; ".join(f"{word}: ..." for word in list(words.values())[:2]),
    }
    return _Kind(kind.pipeline, kind.does.format(**named), kind.read.format(**named))


def _example(task: dict[str, Any]) -> str:
    """What the loader is given on its command line."""
    cells: dict[str, Any] = {part["column"]: "..." for part in task["columns"]}
    options = task.get("options", ())
    cells |= dict.fromkeys(options, "...") if len(options) > 1 else {}
    cells |= {options[0]: ["...", "..."]} if len(options) == 1 else {}
    return '"a text"' if len(cells) == 1 else shlex.quote(json.dumps(cells))


def _tests(
    result: StoredSearch, document: dict[str, Any], ensemble: bool
) -> list[tuple[str, dict[str, Any]]]:
    """Rows of the test table that speak of what was exported: name and estimate."""
    test = result.test
    if test is None or result.record.ensemble is None:
        return []
    rows = [("no prompt, the template alone", test["no_prompt"])]
    members = {(row["number"], row.get("fold")): row for row in test["members"]}
    if test["best"].get("number") is not None:
        members.setdefault((test["best"]["number"], test["best"].get("fold")), test["best"])
    for prompt in document["prompts"]:
        row = members.get((prompt["trial"], prompt["fold"]))
        if row is not None:
            fold = f", fold {prompt['fold']}" if prompt["fold"] else ""
            rows.append((f"trial {prompt['trial']}{fold}", row))
    if ensemble:
        size = len(document["prompts"])
        rows.append((f"{result.ensemble.vote} vote of {size}", test["ensemble"]))
    return rows
