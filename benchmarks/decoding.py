"""Answers that the model writes: from cached contexts, beside `generate` on prompt and context.

python -m benchmarks.decoding [--contexts 16] [--snippets 8] [--most 16]
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from autoprompt.workers.adapter import resolve
from autoprompt.workers.decoding import decoded
from autoprompt.workers.model_config import end_tokens
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.rows import as_text
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import TaskSpec, build_task
from autoprompt.workers.text_states import TokenIds
from benchmarks.prediction import timed
from benchmarks.setting import MODEL, TASK, movie_splits

#: In float32 both sides write the same tokens.
IN_FLOAT32 = MODEL.model_copy(update={"dtype": "float32"})
QUESTION = TaskSpec(
    template="Reviews:\n{text}\nTo sum them up:", label_words=TASK.label_words, metric=TASK.metric
)
PHRASES = (
    "\nIn short, and to be fair to all of them:",
    "\nWhat do most of these reviews say?",
    "\nWrite one sentence about the films.",
    "\nNow a summary in plain words.",
)


class Generate:
    """What a user writes: whole inputs padded on the left, alike in length, `generate`."""

    def __init__(self, most: int) -> None:
        folder = resolve(IN_FLOAT32)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.ends = end_tokens(self.model, tokenizer)
        self.pad = min(self.ends)
        self.most = most

    @torch.inference_mode()
    def __call__(self, inputs: Sequence[TokenIds], batch_size: int) -> list[TokenIds]:
        order = sorted(range(len(inputs)), key=lambda index: len(inputs[index]))
        answers: list[TokenIds] = [()] * len(inputs)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            width = max(len(inputs[index]) for index in batch)
            ids = torch.full((len(batch), width), self.pad)
            mask = torch.zeros_like(ids)
            for row, index in enumerate(batch):
                ids[row, width - len(inputs[index]) :] = torch.tensor(inputs[index])
                mask[row, width - len(inputs[index]) :] = 1
            written = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=self.most,
                do_sample=False,
                pad_token_id=self.pad,
            )
            for index, answer in zip(batch, written[:, width:].tolist(), strict=True):
                cut = next((n for n, token in enumerate(answer) if token in self.ends), None)
                answers[index] = tuple(answer[:cut])
        return answers


def main() -> dict[str, Any]:
    """Tokens a second of one prompt and of four, ours and of `generate` at its best batch size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contexts", type=int, default=16)
    parser.add_argument("--snippets", type=int, default=8, help="in a context")
    parser.add_argument("--most", type=int, default=16, help="tokens of an answer")
    given = parser.parse_args()
    snippets = [as_text(text) for text in movie_splits().test.texts]
    contexts = [
        "\n".join(snippets[start : start + given.snippets])
        for start in range(0, given.contexts * given.snippets, given.snippets)
    ]
    model = load_model(IN_FLOAT32)
    task = build_task(QUESTION, model.tokenizer)
    scorer = Scorer(model, task, longest_prompt=16 + given.most)
    prompts = [
        Prompt("", tuple(model.tokenizer(phrase, add_special_tokens=False).input_ids))
        for phrase in PHRASES
    ]
    texts = scorer.tokenize(contexts)
    found: dict[str, Any] = {
        "tokens": sum(map(len, texts)) / len(texts),
        "contexts": len(texts),
        "most": given.most,
    }
    generate = Generate(given.most)
    inputs = [
        (*text, *prompt.token_ids, *task.question.tail_ids) for prompt in prompts for text in texts
    ]
    first = inputs[: len(texts)]
    sizes = sorted({min(size, len(texts)) for size in (4, 8, 16)})
    seconds = {size: timed(partial(generate, first, size)) for size in sizes}
    best = min(seconds, key=seconds.__getitem__)
    theirs = generate(inputs, best)
    for count in (1, len(prompts)):
        write = partial(decoded, scorer, prompts[:count], texts, (), given.most)

        def from_nothing(write: partial[list[list[TokenIds]]] = write) -> None:
            scorer.cache.forget()
            write()

        ours = [answer for answers in write() for answer in answers]
        tokens = sum(map(len, ours))
        found[str(count)] = {
            "cached": tokens / timed(write),
            "read first": tokens / timed(from_nothing),
            "generate": sum(map(len, theirs[: len(texts)])) / seconds[best],
            "batch": best,
            "same": sum(a == b for a, b in zip(ours, theirs, strict=False)) / len(ours),
        }
    return found


if __name__ == "__main__":
    print(json.dumps(main()))
