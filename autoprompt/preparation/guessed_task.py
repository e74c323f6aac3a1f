"""What a task is, from the columns of its data: `task: auto`, and the presets `pair` and `qa`.

Nothing is guessed behind anybody's back: the start of the search says what the task was taken for,
and the configuration that is stored has it in full.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from autoprompt.config import SearchConfig
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.documents import parse
from autoprompt.search_spaces.errors import DataError
from autoprompt.workers.data_files import first_rows
from autoprompt.workers.data_spec import Paths
from autoprompt.workers.task import GUESSED, TaskSpec

#: Columns by the names that people give them, the likeliest first.
_OPTIONS = ("choices", "options", "endings", "candidates")
_SPANS = ("spans", "entities", "ner_tags", "tags")
_ANSWERS = ("answers", "answer", "target", "summary")
_CONTEXTS = ("context", "passage", "document", "paragraph", "article")
_QUESTIONS = ("question", "query")
_PAIRS = (
    ("premise", "hypothesis"),
    ("claim", "evidence"),
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("query", "passage"),
)

#: More different numbers than these are a scale rather than labels.
_NUMBERS = 20

#: The steps of a scale that is cut out of numbers.
_STEPS = 5

Columns = Mapping[str, Sequence[Any]]


def with_known_task(config: SearchConfig, progress: SearchProgress) -> SearchConfig:
    """The search with a kind of answers and a template in the place of `auto`, `pair` or `qa`.

    Raises:
        DataError: the data cannot be read, or says too little.
    """
    if config.task.answers not in GUESSED:
        return config
    data = config.data
    path = data.path.train if isinstance(data.path, Paths) else data.path
    columns = first_rows(path, config.base, data.subset)
    found = guessed(config.task.answers, columns, data.text, data.label)
    if found is None:
        raise DataError(
            f"{path}: its columns ({', '.join(columns)}) do not say what the task is; name "
            "task.answers and task.template"
        )
    label = found.pop("label", data.label)
    given = {name: getattr(config.task, name) for name in config.task.model_fields_set}
    task = {**found, **{name: value for name, value in given.items() if name != "answers"}}
    spec = parse(TaskSpec, task, f"{config.source}: task")
    known = config.replaced(task=spec, data=data.model_copy(update={"label": label}))
    progress.say(
        f"task: taken for {known.task.answers}, asked by {known.task.template!r}, right answers "
        f"in column {label!r}"
    )
    return known


def guessed(task: str, columns: Columns, text: str, label: str) -> dict[str, Any] | None:
    """A task's keys from the first rows of its data, and with them the `label` column where that is
    another one; None where they do not say.

    Args:
        task: one of `GUESSED`.
        text, label: the columns that the configuration calls so.
    """
    pair = next((pair for pair in _PAIRS if set(pair) <= set(columns)), None)
    if task == "qa":
        return _question(columns, label)
    if task == "pair":
        pair = pair or _two_texts(columns, label)
        return None if pair is None else _labels(columns, label, _pair_template(pair))
    options = _first(columns, _OPTIONS)
    if options is not None:
        question = _first(columns, (*_QUESTIONS, text, *_CONTEXTS)) or _one_text(columns, label)
        if question is None:
            return None
        context = _first(columns, _CONTEXTS)
        before = f"{{{context}}}\n" if context not in (None, question) else ""
        template = f"{before}Question: {{{question}}}\nAnswer:"
        right = label if label in columns else _first(columns, ("answer", "answerKey", "gold"))
        return (
            None
            if right is None
            else {
                "answers": "options",
                "template": template,
                "options": (options,),
                "label": right,
            }
        )
    spans = _first(columns, _SPANS)
    if spans is not None and label not in columns:
        return None if text not in columns else {"answers": "spans", "label": spans}
    if _first(columns, _QUESTIONS) and (label not in columns or _first(columns, _CONTEXTS)):
        found = _question(columns, label)
        if found is not None:
            return found
    if pair is not None:
        return _labels(columns, label, _pair_template(pair))
    right = label if label in columns else _first(columns, _ANSWERS)
    if right is None:
        return None
    only = text if text in columns else _one_text(columns, right)
    if only is None:
        return None
    template = f"{{{_called(only, text)}}}\nAnswer:"
    if label not in columns:
        return {"answers": "text", "template": template, "label": right}
    return _labels(columns, label, template)


def _question(columns: Columns, label: str) -> dict[str, Any] | None:
    """A question, its context where there is one, and free answers."""
    question, context = _first(columns, _QUESTIONS), _first(columns, _CONTEXTS)
    right = label if label in columns else _first(columns, _ANSWERS)
    if question is None or right is None:
        return None
    before = "" if context is None else f"{{{context}}}\n"
    template = f"{before}Question: {{{question}}}\nAnswer:"
    return {"answers": "text", "template": template, "label": right}


def _labels(columns: Columns, label: str, template: str) -> dict[str, Any] | None:
    """The kind of answers that a column of labels says."""
    if label not in columns:
        return None
    values = [value for value in columns[label] if value is not None]
    if any(isinstance(value, (list, tuple)) for value in values):
        return {"answers": "several_labels", "template": template}
    numbers = _numbers(values)
    whole = numbers is not None and all(number.is_integer() for number in numbers)
    if numbers is None or (whole and len(set(numbers)) <= _NUMBERS):
        return {"answers": "label_words", "template": template}
    low, high = min(numbers), max(numbers)
    steps = [low + (high - low) * step / (_STEPS - 1) for step in range(_STEPS)]
    words = ("lowest", "low", "middle", "high", "highest")
    return {
        "answers": "scale",
        "template": template,
        "label_words": {f"{step:g}": word for step, word in zip(steps, words, strict=True)},
    }


def _numbers(values: Sequence[Any]) -> list[float] | None:
    """Values as numbers; None where one is none."""
    try:
        return [float(value) for value in values] or None
    except (TypeError, ValueError):
        return None


def _pair_template(pair: tuple[str, str]) -> str:
    return f"{{{pair[0]}}}\n{{{pair[1]}}}\nAnswer:"


def _called(column: str, text: str) -> str:
    """What templates call a column."""
    return "text" if column == text else column


def _first(columns: Columns, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in columns), None)


def _texts(columns: Columns, label: str) -> list[str]:
    """The columns of words, that of the right answers aside."""
    return [
        name
        for name, values in columns.items()
        if name != label and all(isinstance(value, str) for value in values)
    ]


def _one_text(columns: Columns, label: str) -> str | None:
    found = _texts(columns, label)
    return found[0] if len(found) == 1 else None


def _two_texts(columns: Columns, label: str) -> tuple[str, str] | None:
    found = _texts(columns, label)
    return (found[0], found[1]) if len(found) == 2 else None
