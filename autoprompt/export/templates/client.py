"""Labels texts with the prompts in this folder on a vLLM server, which is sent input embeddings.
Needs torch, transformers and safetensors, and no model: the model is the server's. What is read
stands in inputs.py, how answers are read and voted on in answers.py.

vllm serve MODEL --enable-prompt-embeds
python client.py --server http://localhost:8000 --model MODEL "a joy from start to finish"

The server's key, where it wants one, is the variable VLLM_API_KEY. Where several columns are read,
a text is a JSON object of them.
"""

import argparse
import base64
import io
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import torch
import transformers
from safetensors.torch import load_file

sys.dont_write_bytecode = True  # the folder stays as it was written
from answers import KINDS  # noqa: E402
from inputs import Inputs  # noqa: E402

folder = Path(__file__).parent
parser = argparse.ArgumentParser(usage="%(prog)s [--server URL] --model NAME TEXT ...")
parser.add_argument("--server", default="http://localhost:8000")
parser.add_argument("--model", required=True, help="as the server calls it")
parser.add_argument("texts", nargs="+", metavar="TEXT")
arguments = parser.parse_args()
if not arguments.server.startswith(("http://", "https://")):
    parser.error(f"--server {arguments.server}: give a URL, such as http://localhost:8000")
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
table = load_file(folder / "embeddings.safetensors")["embeddings"]
inputs = Inputs(folder, tokenizer, lambda ids: table[torch.tensor(ids, dtype=torch.long)])


def encoded(rows):
    """Embeddings as vLLM takes them: a tensor as torch writes it, in base64."""
    written = io.BytesIO()
    torch.save(rows.clone(), written)
    return base64.b64encode(written.getvalue()).decode()


def completed(body):
    """What the server says to a request."""
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("VLLM_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    url = f"{arguments.server.rstrip('/')}/v1/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request) as response:  # noqa: S310
            return json.load(response)
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")[:500]
        parser.exit(1, f"Error: {url}: {error.code}: {said}\n")
    except urllib.error.URLError as error:
        parser.exit(1, f"Error: {url}: {error.reason}\n")


def read(prompt, cells, word_ids, wanted):
    """Logits [1 + word_ids, V + 1], up to a constant: where the answer stands, and at the word's
    tokens behind it. Only those that are wanted are known; the last column stands for all others.
    """
    rows = inputs.causal(prompt, cells, word_ids)
    asked = [rows[:end] for end in range(len(rows) - len(word_ids), len(rows) + 1)]
    body = {
        "model": arguments.model,
        "prompt_embeds": [encoded(each) for each in asked],
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": 1,
        "return_tokens_as_token_ids": True,
    }
    if wanted:
        body["logprob_token_ids"] = sorted(set(wanted))
    choices = sorted(completed(body)["choices"], key=lambda choice: choice["index"])
    logits = torch.full((len(asked), len(table) + 1), -torch.inf)
    for own, choice in zip(logits, choices, strict=True):
        for token, log_prob in choice["logprobs"]["top_logprobs"][0].items():
            own[int(token.removeprefix("token_id:"))] = log_prob
        if wanted:
            own[-1] = torch.log1p(-own.exp().sum().clamp(max=1))
    return logits


# Of a model, only how it ends what it writes is asked here.
model = SimpleNamespace(generation_config=transformers.GenerationConfig.from_pretrained(folder))
answers = KINDS[inputs.export["task"]["answers"]]
kind = answers(inputs.export, model, tokenizer)
for text in arguments.texts:
    try:
        print(json.dumps(inputs.answer(kind, text, read)))
    except ValueError as error:
        parser.exit(2, f"Error: {error}\n")
