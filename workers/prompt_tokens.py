"""What a prompt costs each text: the tokens that the model reads beside the text's own."""

from autoprompt.workers.prompt import Prompt
from autoprompt.workers.question import SOME_TEXT, Question, ids_of
from autoprompt.workers.task import Task


def tokens_beside(prompt: Prompt, task: Task) -> int:
    """How many tokens a text's input has in the prompt's wording that are not the text's.

    These are the template with its demonstrations and the tokenizer's own tokens, the prompt's
    tokens and vectors, what a decoder reads behind its start, and label words as far as they are
    read. Rows of a KV prompt are none: they are attended to, and never put through the model.

    Args:
        task: the prompt's wording.
    """
    question = task.question
    own = 0 if prompt.rows is not None else len(prompt)
    behind = len(question.tail_ids) + len(question.end_ids) + len(question.answer_ids)
    return tokens_before(question) + own + behind + len(task.readout.branches)


def tokens_before(question: Question) -> int:
    """How many tokens `Question.read` puts before a text, and between its columns; counted around
    one word, since it may merge with what it stands beside."""
    [around] = question.read([question.everywhere(SOME_TEXT)])
    word = ids_of(SOME_TEXT, question.tokenizer)
    return len(around) - len(question.columns) * len(word)
