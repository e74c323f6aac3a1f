"""Whether a prompt that was exported as tokens says in transformers and in llama.cpp what it says
in the search: the largest difference of logits.

python -m benchmarks.token_logits SEARCH --llama PYTHON [--db URL] [--trial N] [--texts N]

PYTHON is an interpreter with llama-cpp-python. The search's model is a GGUF file. llama.cpp rounds
what a quantised matrix is multiplied by to 8 bits, which transformers does not; so its differences
are told three times: with every matrix unpacked, as the file is, and of the file that the search
was on, without any prompt, beside the same model in transformers.
"""

import argparse
import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize
from transformers import AutoModelForCausalLM, AutoTokenizer

from autoprompt.api import load
from autoprompt.config import SearchConfig
from autoprompt.evaluation.own_texts import splits_of
from autoprompt.export.token_gguf import write_gguf
from autoprompt.export.token_model import stored_model
from autoprompt.results import SearchResult
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scorers import load_scorer

READER = Path(__file__).parent / "llama_cpp_reader.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("search")
    parser.add_argument("--llama", required=True, metavar="PYTHON")
    parser.add_argument("--db")
    parser.add_argument("--trial", type=int)
    parser.add_argument("--texts", type=int, default=50)
    arguments = parser.parse_args()
    result = load(arguments.search, db=arguments.db)
    texts = [str(text).strip() for text in splits_of(result.record).test.texts[: arguments.texts]]
    with TemporaryDirectory() as place:
        rows = compared(result, arguments.trial, texts, arguments.llama, Path(place))
    print(json.dumps(rows, indent=1))


@torch.no_grad()
def compared(
    result: SearchResult, trial: int | None, texts: list[str], llama: str, place: Path
) -> dict[str, Any]:
    """Differences of logits [texts, V], and how often labels are the same."""
    folder = result.export(place / "tokens", "tokens", trial=trial)
    export = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))
    [told] = export["prompts"]
    asked = [told["server_text"].replace("{text}", text) for text in texts]
    words = [word["ids"][0] for word in export["task"]["words"]]
    config = SearchConfig.model_validate(result.record.config)
    spec = config.model.model_copy(update={"dtype": "float32"})
    scorer = load_scorer(spec, config.task, config.space.longest_prompt())
    [record] = result.prompts([told["trial"]])
    prompt = Prompt.from_bytes(record.content)
    whole_output = stored_model(config).float()
    own = np.stack([_own(scorer, whole_output, prompt, text) for text in texts])
    size = own.shape[1]
    plain = [f"Review: {text}\nSentiment:" for text in texts]
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    theirs, bare = (
        np.stack(
            [
                model(**tokenizer(text, return_tensors="pt")).logits[0, -1].float().numpy()
                for text in part
            ]
        )
        for part in (asked, plain)
    )
    file = folder / "model.gguf"
    whole = _unpacked(file, place / "whole.gguf")
    names = GGUFReader(file).fields["tokenizer.ggml.tokens"].contents()
    in_full, read = _llama(llama, whole, asked, place)
    expected = [tokenizer(text).tokens() for text in asked]
    alike = [
        [names[token] for token in ids] == tokens
        for ids, tokens in zip(read, expected, strict=True)
    ]
    as_it_is, _ = _llama(llama, file, asked, place)
    without, _ = _llama(llama, Path(config.model.path).expanduser(), plain, place)
    without_in_full, _ = _llama(llama, whole, plain, place)
    new = _softmax(theirs)[:, size:].sum(1)
    bare = bare[:, :size]
    return {
        "texts": len(texts),
        "texts that llama.cpp splits otherwise": alike.count(False),
        "prompt": f"trial {told['trial']}, {told['kind']}, {told['position']}",
        "largest logit": float(np.abs(own).max()),
        "transformers": _apart(theirs, own, words),
        "llama.cpp, all texts": _apart(as_it_is, own, words),
        "llama.cpp, of texts split alike": {
            "unpacked": _apart(in_full[alike], own[alike], words),
            "as the file is": _apart(as_it_is[alike], own[alike], words),
            "without the prompt, unpacked": _apart(without_in_full[alike], bare[alike], words),
            "without the prompt, the search's file": _apart(without[alike], bare[alike], words),
        },
        "new tokens' probability, at most": float(new.max()),
        "a new token is the likeliest": int((in_full.argmax(1) >= size).sum()),
    }


def _own(scorer: Any, model: Any, prompt: Prompt, text: str) -> Any:
    """[V], as the search reads a prompt: as input embeddings, with the scores that it gives.

    Args:
        model: the search's own, of which a search asks only some words.
    """
    [ids] = scorer.task.question.read([text])
    laid, embed = prompt.embedded(scorer.model), scorer.model.embed
    tail = embed(scorer.task.question.tail_ids)
    parts = [part.to(tail) for part in (laid.front, embed(ids), laid.back, tail, laid.end)]
    inputs = torch.cat([part for part in parts if len(part)])
    logits = model(inputs_embeds=inputs[None]).logits[0, -1]
    scores = scorer.score_texts([prompt], [text])[0][0]
    first = [word.ids[0] for word in scorer.task.readout.words]
    if not prompt.prior:
        torch.testing.assert_close(logits[first].log_softmax(-1), scores, atol=1e-4, rtol=0)
    return logits.numpy()


def _llama(python: str, model: Path, texts: list[str], place: Path) -> tuple[Any, list[list[int]]]:
    """Logits [texts, V], and the tokens that were read."""
    (place / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    command = [python, str(READER), str(model), str(place / "texts.json"), str(place / "out.npz")]
    subprocess.run(command, check=True)
    found = np.load(place / "out.npz")
    return found["logits"], [json.loads(str(ids)) for ids in found["ids"]]


def _apart(theirs: Any, own: Any, words: list[int]) -> dict[str, float]:
    """How far logits lie apart, of the tokens that both have."""
    apart = np.abs(theirs[:, : own.shape[1]] - own)
    alike = theirs[:, words].argmax(1) == own[:, words].argmax(1)
    return {
        "largest": float(apart.max()),
        "mean": float(apart.mean()),
        "largest of the words": float(apart[:, words].max()),
        "same label": float(alike.mean()),
    }


def _softmax(logits: Any) -> Any:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _unpacked(source: Path, target: Path) -> Path:
    """A GGUF file with every tensor in float32."""
    reader, whole = GGUFReader(source), GGMLQuantizationType.F32
    each = ((one.name, dequantize(one.data, one.tensor_type), whole) for one in reader.tensors)
    write_gguf(reader, target, {}, ((name, rows.astype(np.float32), to) for name, rows, to in each))
    return target


if __name__ == "__main__":
    main()
