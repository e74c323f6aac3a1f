"""Prompt tuning, prefix tuning and LoRA with PEFT, as a careful user would write them.

PEFT's defaults: the model in the dtype of its checkpoint, virtual tokens before the text, started
from random vectors. Texts are tokenized once; batches are padded to their longest text; evaluation
looks only at the last position and the label words' logits.

    python -m benchmarks.peft_prompt_tuning [--dtype bfloat16]
    python -m benchmarks.peft_prompt_tuning --adapter lora --learning-rate 0.001 --test 1000
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import torch
from peft import (
    LoraConfig,
    PeftConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    TaskType,
    get_peft_model,
)
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, AutoTokenizer, get_linear_schedule_with_warmup

from autoprompt.workers.adapter import resolve
from autoprompt.workers.data import Split
from benchmarks.setting import (
    BATCH_SIZE,
    LEARNING_RATE,
    MODEL,
    SEED,
    STEPS,
    TASK,
    VIRTUAL_TOKENS,
    Timed,
    movie_splits,
)


def run(
    dtype: str = "float32",
    steps: int = STEPS,
    learning_rate: float = LEARNING_RATE,
    virtual_tokens: int = VIRTUAL_TOKENS,
    adapter: str = "prompt",
    seed: int = SEED,
    test: int | None = None,
    rungs: Mapping[int, int] = MappingProxyType({}),
    report: Callable[[int, float], None] = lambda rung, accuracy: None,
) -> Timed:
    """Train and evaluate one soft prompt (prompt), keys and values before the text (prefix), or
    LoRA of rank 8; loading the model is not timed.

    Args:
        test: evaluate on so many test snippets, those of a search of ours with the same seed,
            and not on the 400 for validation.
        rungs: by step, when it is evaluated and reported before its end.
    """
    torch.manual_seed(seed)
    folder = resolve(MODEL)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    config: PeftConfig = PromptTuningConfig(
        task_type=TaskType.CAUSAL_LM, num_virtual_tokens=virtual_tokens
    )
    if adapter == "prefix":
        config = PrefixTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=virtual_tokens)
    if adapter == "lora":
        config = LoraConfig(task_type=TaskType.CAUSAL_LM, r=8, lora_alpha=16)
    # Logits of these stand before those of the text.
    behind = virtual_tokens if adapter == "prompt" else 0
    model = get_peft_model(base, config)
    splits = movie_splits() if test is None else movie_splits(seed, 256, test)
    words = [tokenizer(f" {word}").input_ids[0] for (word,) in TASK.label_words.values()]

    def examples(split: Split) -> list[dict[str, list[int]]]:
        encoded = tokenizer([TASK.template.format(text=text) for text in split.texts])
        return [
            {"input_ids": [*ids, words[label]], "labels": [-100] * len(ids) + [words[label]]}
            for ids, label in zip(encoded.input_ids, split.labels, strict=True)
        ]

    def collate(batch: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(each["input_ids"]) for each in batch)

        def padded(key: str, value: int) -> torch.Tensor:
            rows = [each[key] + [value] * (longest - len(each[key])) for each in batch]
            return torch.tensor(rows)

        return {
            "input_ids": padded("input_ids", tokenizer.pad_token_id),
            "labels": padded("labels", -100),
            "attention_mask": (padded("labels", -200) != -200).long(),
        }

    loader: Any = DataLoader(
        examples(splits.train),  # type: ignore[arg-type]
        batch_size=BATCH_SIZE,
        shuffle=True,
        collate_fn=collate,
        generator=torch.Generator().manual_seed(seed),
    )
    held_out = examples(splits.validation if test is None else splits.test)

    @torch.no_grad()
    def accuracy() -> float:
        model.eval()
        right = 0
        for start in range(0, len(held_out), BATCH_SIZE):
            batch = collate(held_out[start : start + BATCH_SIZE])
            where = (batch["labels"] != -100).long().argmax(-1)
            expected = batch["input_ids"].gather(1, where[:, None])[:, 0]
            # The token before the label's, behind the virtual tokens.
            logits = model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            ).logits
            rows = torch.arange(len(where))
            answers = logits[rows, where - 1 + behind][:, words].argmax(-1)
            right += int((torch.tensor(words)[answers] == expected).sum())
        model.train()
        return right / len(held_out)

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate)
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    model.train()
    started = time.perf_counter()
    done = 0
    while done < steps:
        for batch in loader:
            loss = model(**batch).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            done += 1
            if done == steps:
                break
            if done in rungs:
                report(rungs[done], accuracy())
    trained_at = time.perf_counter()
    final = accuracy()
    return Timed(trained_at - started, time.perf_counter() - trained_at, final)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--adapter", choices=["prompt", "prefix", "lora"], default="prompt")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--virtual-tokens", type=int, default=VIRTUAL_TOKENS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--test", type=int)
    print(json.dumps(asdict(run(**vars(parser.parse_args())))))
