"""A GGUF file with rows and vocabulary entries for a prompt's tokens: everything else is copied as
it is, quantised as it was."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, TokenType
from gguf.quants import dequantize, quantize
from torch import Tensor

from autoprompt.search_spaces.errors import ModelError

_INPUT, _OUTPUT = "token_embd.weight", "output.weight"


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
    kind = reader.get_field("tokenizer.ggml.model")
    if bare and (kind is None or kind.contents() != "gpt2"):
        raise ModelError(
            "--format tokens: llama.cpp reads a text otherwise behind this prompt's tokens; use a "
            "prompt that is laid behind the text, or --format json"
        )
    writer = GGUFWriter(target, str(_content(reader, "general.architecture")))
    alignment = reader.get_field("general.alignment")
    if alignment is not None:
        writer.data_alignment = int(alignment.contents())
    _copy_metadata(reader, writer, names, bare)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    read = tensors.pop(_INPUT)
    asked = tensors.pop(_OUTPUT, read)
    table = dequantize(read.data, read.tensor_type)
    new = [table[row] if isinstance(row, int) else row.float().numpy() for row in rows]
    writer.add_tensor(_INPUT, np.concatenate([table, np.stack(new)]).astype(np.float32))
    _add_output(writer, asked, len(names))
    for tensor in tensors.values():
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _content(reader: GGUFReader, name: str) -> Any:
    field = reader.get_field(name)
    return None if field is None else field.contents()


def _copy_metadata(
    reader: GGUFReader, writer: GGUFWriter, names: Sequence[str], bare: bool
) -> None:
    """All fields as they are, with the new names behind the tokens."""
    known = [*_content(reader, "tokenizer.ggml.tokens"), *names]
    longer: dict[str, list[Any]] = {
        "tokenizer.ggml.token_type": [int(TokenType.USER_DEFINED)] * len(names),
        "tokenizer.ggml.scores": [0.0] * len(names),
    }
    other: dict[str, Any] = {
        "tokenizer.ggml.tokens": known,
        f"{_content(reader, 'general.architecture')}.vocab_size": len(known),
    }
    silent = ("tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token") if bare else ()
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", *silent):
            continue
        value: Any = other.get(name, field.contents())
        if name in longer:
            value = list(value) + longer[name]
        kind = field.types[0]
        of = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(name, value, kind, of)
    for name in silent:
        writer.add_bool(name, False)


def _add_output(writer: GGUFWriter, asked: Any, count: int) -> None:
    """The output rows, and their mean for each new token."""
    rows = dequantize(asked.data, asked.tensor_type)
    mean = np.broadcast_to(rows.mean(0, dtype=np.float32), (count, rows.shape[1]))
    try:
        new, kind = quantize(np.ascontiguousarray(mean), asked.tensor_type), asked.tensor_type
        whole = np.concatenate([asked.data, new.view(asked.data.dtype)])
    except NotImplementedError:
        # The package reads some quantisations that it cannot write.
        kind = GGMLQuantizationType.F16
        whole = np.concatenate([rows, mean]).astype(np.float16)
    writer.add_tensor(_OUTPUT, whole, raw_dtype=kind)
