"""A GGUF file with rows and vocabulary entries for a prompt's tokens: everything else is copied as
it is, quantised as it was."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, TokenType
from gguf.quants import dequantize, quantize
from torch import Tensor

from autoprompt.search_spaces.errors import ModelError

_INPUT, _OUTPUT = "token_embd.weight", "output.weight"

#: A tensor's name, its numbers as they are stored, and how they are.
Stored = tuple[str, Any, GGMLQuantizationType]


def save_token_gguf(
    source: Path, target: Path, names: Sequence[str], rows: Sequence[Tensor | int], bare: bool
) -> None:
    """Write a copy of a GGUF file with new tokens.

    The input rows are written whole: a prompt's vectors would not survive 4 bits. The output rows
    stay as they were, which is the input's where the file has no others, with the mean of them for
    every new token (see `token_model`).

    Args:
        rows: of each name its vector [H] as the file would have it, or the token whose it is.
        bare: whether llama.cpp is to put nothing before or behind an input by itself.

    Raises:
        ModelError: its tokenizer puts a space before a text that stands behind a new token.
    """
    reader = GGUFReader(source)
    if bare and _content(reader, "tokenizer.ggml.model") != "gpt2":
        raise ModelError(
            "--format tokens: llama.cpp reads a text otherwise behind this prompt's tokens; use a "
            "prompt that is laid behind the text, or --format json"
        )
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    read = tensors.pop(_INPUT)
    asked = tensors.pop(_OUTPUT, read)
    table = dequantize(read.data, read.tensor_type).astype(np.float32)
    new = [table[row] if isinstance(row, int) else row.float().numpy() for row in rows]
    grown: list[Stored] = [
        (_INPUT, np.concatenate([table, np.stack(new)]), GGMLQuantizationType.F32),
        (_OUTPUT, *_output(asked, len(names))),
    ]
    others = ((name, tensor.data, tensor.tensor_type) for name, tensor in tensors.items())
    write_gguf(reader, target, _changed(reader, names, bare), [*grown, *others])


def write_gguf(
    reader: GGUFReader, target: Path, changed: Mapping[str, Any], tensors: Iterable[Stored]
) -> None:
    """Write a file with another's metadata.

    Args:
        changed: fields whose values are others, by name; a field that is not there is a switch.
    """
    writer = GGUFWriter(target, str(_content(reader, "general.architecture")))
    if alignment := _content(reader, "general.alignment"):
        writer.data_alignment = int(alignment)
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            kind = field.types[0]
            of = field.types[-1] if kind == GGUFValueType.ARRAY else None
            writer.add_key_value(name, changed.get(name, field.contents()), kind, of)
    for name in changed.keys() - reader.fields.keys():
        writer.add_bool(name, changed[name])
    for name, numbers, stored in tensors:
        writer.add_tensor(name, numbers, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _content(reader: GGUFReader, name: str) -> Any:
    field = reader.get_field(name)
    return None if field is None else field.contents()


def _changed(reader: GGUFReader, names: Sequence[str], bare: bool) -> dict[str, Any]:
    """What the metadata says of a vocabulary with these names behind its own."""
    count = len(names)
    more: dict[str, list[Any]] = {
        "tokenizer.ggml.tokens": list(names),
        # llama.cpp finds these in any text, and special ones only where it is told to.
        "tokenizer.ggml.token_type": [int(TokenType.USER_DEFINED)] * count,
        "tokenizer.ggml.scores": [0.0] * count,
    }
    changed: dict[str, Any] = {
        name: [*_content(reader, name), *own]
        for name, own in more.items()
        if _content(reader, name) is not None
    }
    size = f"{_content(reader, 'general.architecture')}.vocab_size"
    if _content(reader, size) is not None:
        changed[size] = len(changed["tokenizer.ggml.tokens"])
    silent = ("tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token")
    return changed | (dict.fromkeys(silent, False) if bare else {})


def _output(asked: Any, count: int) -> tuple[Any, GGMLQuantizationType]:
    """The output rows, and their mean for each new token; and how they are stored."""
    rows = dequantize(asked.data, asked.tensor_type)
    mean = np.broadcast_to(rows.mean(0, dtype=np.float32), (count, rows.shape[1]))
    try:
        new = quantize(np.ascontiguousarray(mean), asked.tensor_type)
    except NotImplementedError:
        # The package reads some quantisations that it cannot write.
        return np.concatenate([rows, mean]).astype(np.float16), GGMLQuantizationType.F16
    return np.concatenate([asked.data, new.view(asked.data.dtype)]), asked.tensor_type
