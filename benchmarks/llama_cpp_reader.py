"""What llama.cpp reads in a GGUF file: logits behind texts. Run by `benchmarks.token_logits` with
an interpreter that has llama-cpp-python, which is compiled where it is installed.

python benchmarks/llama_cpp_reader.py MODEL.gguf TEXTS.json OUT.npz
"""

import json
import sys
from pathlib import Path

import numpy as np


def main(model: str, texts: str, out: str) -> None:
    from llama_cpp import (  # type: ignore[import-not-found]
        GGML_TYPE_F32,
        Llama,
        llama_get_logits_ith,
    )

    llama = Llama(
        model, n_ctx=512, n_threads=1, type_k=GGML_TYPE_F32, type_v=GGML_TYPE_F32, verbose=False
    )
    logits, ids = [], []
    for text in json.loads(Path(texts).read_text(encoding="utf-8")):
        # As a server does: what the file says stands before a text, and its tokens in it.
        tokens = llama.tokenize(text.encode(), add_bos=True, special=True)
        llama.reset()
        llama.eval(tokens)
        found = llama_get_logits_ith(llama.ctx, -1)
        logits.append(np.ctypeslib.as_array(found, (llama.n_vocab(),)).copy())
        ids.append(json.dumps(tokens))
    np.savez(out, logits=np.stack(logits), ids=np.array(ids))


if __name__ == "__main__":
    main(*sys.argv[1:])
