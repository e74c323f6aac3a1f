"""Labels texts with the prompts in this folder; needs torch, transformers and safetensors alone,
and PEFT where the model had an adapter. How answers are read and voted on stands in answers.py.

python predict.py --model PATH_OR_ID "a joy from start to finish" "dull and far too long"

Where several columns are read, a text is a JSON object of them.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file

sys.dont_write_bytecode = True  # the folder stays as it was written
from answers import KINDS  # noqa: E402

folder = Path(__file__).parent
export = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))
known, family = export["model"], export["model"]["family"]
parser = argparse.ArgumentParser(usage="%(prog)s [--model PATH_OR_ID] [--adapter FOLDER] TEXT ...")
parser.add_argument("--model", default=os.environ.get("AUTOPROMPT_MODEL"))
parser.add_argument("--adapter", default=os.environ.get("AUTOPROMPT_ADAPTER"))
parser.add_argument("texts", nargs="+", metavar="TEXT")
arguments = parser.parse_args()
# The model's name finds it on the Hub alone; with tokens of its own, it is in this folder.
own = known["name"] if known["on_hub"] else None
own = str(folder) if known["in_folder"] else own
path, options = arguments.model or own, {}
if not path:
    parser.exit(2, f"Error: --model PATH: say where the model {known['name']} is\n")
if known["adapter"] and not arguments.adapter:
    parser.exit(2, f"Error: --adapter FOLDER: say where the adapter {known['adapter']} is\n")
if path == own and not known["in_folder"]:
    options["revision"] = known["revision"]
if path.endswith(".gguf"):
    path, options["gguf_file"] = str(Path(path).parent), Path(path).name
tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
if "gguf_file" in options:
    options["quantization_config"] = transformers.GgufConfig(dequantize=True)
kinds = {"causal": "CausalLM", "masked": "MaskedLM", "seq2seq": "Seq2SeqLM"}
loader = getattr(transformers, f"AutoModelFor{kinds[family]}")
model = loader.from_pretrained(path, **options, dtype=torch.float32)
if known["adapter"]:
    from peft import PeftModel

    model = PeftModel.from_pretrained(model, arguments.adapter).merge_and_unload()
model.eval()


def embed(token_ids):
    return model.get_input_embeddings()(torch.tensor(token_ids, dtype=torch.long))


def prompt_vectors(prompt):
    """Embeddings of its tokens; where a token is -1, a trained vector."""
    slots = embed([max(token, 0) for token in prompt["token_ids"]])
    if "vectors" in prompt:
        vectors = load_file(folder / prompt["vectors"]["file"])[prompt["vectors"]["tensor"]]
        slots[torch.tensor(prompt["token_ids"]) < 0] = vectors
    return slots


def read_rows(prompt, task, ids, word_ids):
    """Like `read`, of a KV prompt: its keys and values stand in the model's cache."""
    stored = prompt["rows"]
    rows = load_file(folder / stored["file"])[stored["tensor"]].reshape(stored["shape"])
    whole, place = [*ids, *task["tail_ids"]], prompt["position"]
    cut = {"prefix": 0, "suffix": len(ids), "end": len(whole) - 1, "decoder": 0}[place]
    # Rotated keys know their place: behind a text, which ends right before 0, or before it.
    rotary = any("rotary" in name for name, _ in model.named_modules())
    zero = len(ids) if rotary and place != "prefix" else 0
    cache = transformers.DynamicCache()
    if cut:
        before, places = torch.tensor([whole[:cut]]), torch.arange(cut)[None] - zero
        model(input_ids=before, position_ids=places, past_key_values=cache)
    for layer, (keys, values) in enumerate(rows.permute(1, 2, 3, 0, 4)):
        cache.update(keys[None], values[None], layer)
    if place == "decoder":
        answer = torch.tensor([[*task["decoder_ids"], *word_ids]])
        asked = torch.tensor([[*whole, *task["end_ids"]]])
        both = transformers.EncoderDecoderCache(cache, transformers.DynamicCache())
        found = model(input_ids=asked, decoder_input_ids=answer, past_key_values=both)
    else:
        asked = torch.tensor([[*whole[cut:], *word_ids]])
        places = torch.arange(asked.shape[1])[None] + cut + len(rows) - zero
        found = model(input_ids=asked, position_ids=places, past_key_values=cache)
    return found.logits[0, -1 - len(word_ids) :]


def task_of(prompt):
    """What is asked with a prompt: all of them the same, but for those with a task of their own."""
    return prompt.get("task", export["task"])


def cells_of(text):
    """A text's columns by name."""
    tasks = [task_of(prompt) for prompt in export["prompts"]]
    names = {part["column"] for task in tasks for part in task["columns"]}
    names |= set(export["task"].get("options", ()))
    if len(names) == 1:
        return {names.pop(): text}
    cells = json.loads(text)
    if not isinstance(cells, dict) or names - cells.keys():
        raise ValueError(f"a text is a JSON object of {', '.join(sorted(names))}: {text[:40]!r}")
    return {
        name: cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
        for name, cell in cells.items()
    }


def read(prompt, cells, word_ids):
    """Logits [1 + word_ids, V]: where the answer stands, and at the word's tokens behind it."""
    task = task_of(prompt)
    # The template up to the end of its last column.
    filled = "".join(part["before"] + cells[part["column"]].strip() for part in task["columns"])
    ids = tokenizer(filled, add_special_tokens=False).input_ids
    ids = [*task["begin_ids"], *ids][: task["longest_text"]]
    if "rows" in prompt:
        return read_rows(prompt, task, ids, word_ids)
    slots, place = prompt_vectors(prompt), prompt["position"]
    cut = {"prefix": len(slots), "both": prompt["front"]}.get(place, 0)
    front, rest, none = slots[:cut], slots[cut:], slots[:0]
    tail, last = embed(task["tail_ids"]), embed(task["end_ids"])
    behind = {"end": [tail, rest], "decoder": [tail]}.get(place, [rest, tail])
    if family == "masked":
        begin = len(task["begin_ids"])
        parts = [embed(ids[:begin]), front, embed(ids[begin:]), *behind, last]
        at = task["mask"] + (len(front) if task["mask"] >= 0 else 0)
        at -= len(rest) if task["mask"] < 0 and place == "end" else 0
        return model(inputs_embeds=torch.cat(parts)[None]).logits[0, [at]]
    inputs = {"inputs_embeds": torch.cat([front, embed(ids), *behind, last])}
    answering = "inputs_embeds"
    if family == "seq2seq":
        answering = "decoder_inputs_embeds"
        start = embed(task["decoder_ids"])
        inputs[answering] = torch.cat([start, rest if place == "decoder" else none])
    inputs[answering] = torch.cat([inputs[answering], embed(word_ids)])
    logits = model(**{name: rows[None] for name, rows in inputs.items()}).logits
    return logits[0, -1 - len(word_ids) :]


def answer(text):
    """A line of what is printed."""
    cells, said = cells_of(text), []
    for prompt in export["prompts"]:

        def ask(word_ids, blank=False, prompt=prompt):
            return read(prompt, dict.fromkeys(cells, "") if blank else cells, word_ids)

        said.append(kind.say(prompt, task_of(prompt), ask, cells))
    label, votes, probability = kind.vote(said, cells)
    if export["abstain"] and probability < export["abstain"]["threshold"]:
        label = None
    return {"text": text, "label": label, "votes": votes, "probability": probability}


answers = KINDS[export["task"]["answers"]]
kind = answers(export, model, tokenizer)
with torch.no_grad():
    for text in arguments.texts:
        try:
            print(json.dumps(answer(text)))
        except ValueError as error:
            parser.exit(2, f"Error: {error}\n")
