"""Labels texts with the prompts in this folder; needs torch, transformers and safetensors alone,
and PEFT where the model had an adapter. What is read stands in inputs.py, how answers are read and
voted on in answers.py.

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

sys.dont_write_bytecode = True  # the folder stays as it was written
from answers import KINDS  # noqa: E402
from inputs import Inputs  # noqa: E402

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


inputs = Inputs(folder, tokenizer, embed)


def read_rows(prompt, task, ids, word_ids):
    """Like `read`, of a KV prompt: its keys and values stand in the model's cache."""
    rows = inputs.trained(prompt["rows"])
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


def read(prompt, cells, word_ids, wanted):
    """Logits [1 + word_ids, V]: where the answer stands, and at the word's tokens behind it."""
    task, place = inputs.task_of(prompt), prompt["position"]
    if "rows" in prompt:
        return read_rows(prompt, task, inputs.ids_of(task, cells), word_ids)
    if family == "causal":
        rows = inputs.causal(prompt, cells, word_ids)
        return model(inputs_embeds=rows[None]).logits[0, -1 - len(word_ids) :]
    ids, (front, rest) = inputs.ids_of(task, cells), inputs.sides(prompt)
    behind, last = inputs.behind(prompt, task, rest), embed(task["end_ids"])
    if family == "masked":
        begin = len(task["begin_ids"])
        parts = [embed(ids[:begin]), front, embed(ids[begin:]), *behind, last]
        at = task["mask"] + (len(front) if task["mask"] >= 0 else 0)
        at -= len(rest) if task["mask"] < 0 and place == "end" else 0
        return model(inputs_embeds=torch.cat(parts)[None]).logits[0, [at]]
    start = [embed(task["decoder_ids"]), *([rest] if place == "decoder" else []), embed(word_ids)]
    asked = torch.cat([front, embed(ids), *behind, last])
    found = model(inputs_embeds=asked[None], decoder_inputs_embeds=torch.cat(start)[None])
    return found.logits[0, -1 - len(word_ids) :]


answers = KINDS[export["task"]["answers"]]
kind = answers(export, model, tokenizer)
with torch.no_grad():
    for text in arguments.texts:
        try:
            print(json.dumps(inputs.answer(kind, text, read)))
        except ValueError as error:
            parser.exit(2, f"Error: {error}\n")
