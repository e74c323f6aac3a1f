"""The task: label words in context, and what makes them useless."""

import pytest

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.task import TaskSpec, build_task


def test_label_words_are_tokenized_where_they_will_stand(tiny_model: FrozenModel) -> None:
    words = {"n": "negative", "p": " positive"}
    spec = TaskSpec.model_validate({"template": "{text} Mood:", "label_words": words})
    task = build_task(spec, tiny_model.tokenizer)
    decoded = [tiny_model.tokenizer.decode([token]) for token in task.readout.starts]
    assert decoded == [" negative", " positive"]
    assert task.answers.names == ("n", "p")
    assert tiny_model.tokenizer.decode(task.question.tail_ids) == " Mood:"


def test_no_space_is_added_after_one(tiny_model: FrozenModel) -> None:
    words = {"n": "negative", "p": "positive"}
    spec = TaskSpec.model_validate({"template": "{text}\n", "label_words": words})
    task = build_task(spec, tiny_model.tokenizer)
    assert not tiny_model.tokenizer.decode([task.readout.starts[0]]).startswith(" ")


def test_words_that_begin_alike_are_refused_unless_all_their_tokens_count(
    tiny_model: FrozenModel,
) -> None:
    words = {"p": "positive", "q": "positive indeed"}
    with pytest.raises(ConfigError, match=r"'positive' \(p\) and 'positive indeed' \(q\) begin"):
        build_task(TaskSpec.model_validate({"label_words": words}), tiny_model.tokenizer)
    for scoring in ("sum", "mean"):
        spec = TaskSpec.model_validate({"label_words": words, "label_scoring": scoring})
        task = build_task(spec, tiny_model.tokenizer)
        assert len(task.readout.words[0].ids) == 1
        assert task.readout.branches.tokens == task.readout.words[1].ids[:-1]
    same = {"p": "positive", "q": "positive"}
    spec = TaskSpec.model_validate({"label_words": same, "label_scoring": "mean"})
    with pytest.raises(ConfigError, match="choose other words"):
        build_task(spec, tiny_model.tokenizer)


def test_several_words_for_a_label(tiny_model: FrozenModel) -> None:
    words = {"n": ["dull", "awful", "dull"], "p": "great"}
    task = build_task(TaskSpec.model_validate({"label_words": words}), tiny_model.tokenizer)
    assert [word.label for word in task.readout.words] == [0, 0, 1]
    assert task.readout.starts == (task.readout.words[0].ids[0], task.readout.words[2].ids[0])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"template": "no slot", "label_words": {"a": "x", "b": "y"}}, "exactly once"),
        ({"template": "{a}{b} {a}", "label_words": {"a": "x", "b": "y"}}, r"\{a\} exactly once"),
        ({"template": "{a}{mask}{b}", "label_words": {"a": "x", "b": "y"}}, "before the first col"),
        (
            {"template": "{a}", "columns": ["a", "b"], "label_words": {"a": "x", "b": "y"}},
            r"\{b\} exactly once",
        ),
        ({"template": "{text}{text}", "label_words": {"a": "x", "b": "y"}}, "exactly once"),
        ({"label_words": {"a": "x"}}, "at least two labels"),
        ({"label_words": {"a": "x", "b": " "}}, "label 'b' has an empty word"),
        ({"label_words": {"a": "x", "b": []}}, "label 'b' has an empty word"),
        ({"label_words": ["a", "b"]}, "a mapping"),
        ({"label_words": {"a": "x", "b": "y"}, "metric": "acuracy"}, "the nearest is accuracy"),
    ],
)
def test_what_is_wrong_is_named(content: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TaskSpec.model_validate(content)
