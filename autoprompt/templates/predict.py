"""Labels texts with the prompts in this folder; needs torch, transformers and safetensors alone.

python predict.py "a joy from start to finish" "dull and far too long"
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

folder = Path(__file__).parent
export = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))
task, path, options = export["task"], export["model"]["path"], {}
if path.endswith(".gguf"):
    path, options["gguf_file"] = str(Path(path).parent), Path(path).name
tokenizer = AutoTokenizer.from_pretrained(path, revision=export["model"]["revision"], **options)
if options:
    options["quantization_config"] = GgufConfig(dequantize=True)
options |= {"revision": export["model"]["revision"], "dtype": torch.float32}
model = AutoModelForCausalLM.from_pretrained(path, **options).eval()


def embed(token_ids):
    return model.get_input_embeddings()(torch.tensor(token_ids, dtype=torch.long))


def prompt_vectors(prompt):
    """Embeddings of its tokens; where a token is -1, a trained vector."""
    slots = embed([max(token, 0) for token in prompt["token_ids"]])
    if "vectors" in prompt:
        vectors = load_file(folder / prompt["vectors"]["file"])[prompt["vectors"]["tensor"]]
        slots[torch.tensor(prompt["token_ids"]) < 0] = vectors
    return slots


def log_probs(prompt, text):
    """Of each label: the sum or mean over a word's tokens, then all of a label's words."""
    text_ids = tokenizer(task["head"] + text.strip()).input_ids[: task["longest_text"]]
    slots = prompt_vectors(prompt)
    cut = {"suffix": 0, "prefix": len(slots)}.get(prompt["position"], prompt["front"])
    parts = [slots[:cut], embed(text_ids), slots[cut:]]
    labels = [[] for _ in task["labels"]]
    for word in task["words"]:
        inputs = torch.cat([*parts, embed([*task["tail_ids"], *word["ids"][:-1]])])
        logits = model(inputs_embeds=inputs[None]).logits[0, -len(word["ids"]) :]
        own = logits.log_softmax(-1)[range(len(word["ids"])), word["ids"]]
        labels[word["label"]].append(own.mean() if task["mean"] else own.sum())
    scores = torch.stack([torch.stack(words).logsumexp(0) for words in labels])
    return (scores - torch.tensor(prompt["prior"] or [0.0] * len(scores))).log_softmax(-1)


with torch.no_grad():
    for text in sys.argv[1:]:
        found = torch.stack([log_probs(prompt, text) for prompt in export["prompts"]])
        weights = torch.tensor([float(prompt["weight"]) for prompt in export["prompts"]])
        shares = weights @ torch.eye(found.shape[1])[found.argmax(1)] / weights.sum()
        tied = torch.isclose(shares, shares.max())
        best = int(found.sum(0).masked_fill(~tied, -torch.inf).argmax())
        row = {"text": text, "label": task["labels"][best], "votes": float(shares[best])}
        print(json.dumps(row | {"probability": float(found[:, best].exp().mean())}))
