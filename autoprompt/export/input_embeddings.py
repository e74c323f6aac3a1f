"""What a client needs that sends a server input embeddings: the model's own, and its tokenizer."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from autoprompt.config import SearchConfig
from autoprompt.export.token_model import stored_model
from autoprompt.workers.model_loading import read_tokenizer


@torch.no_grad()
def save_input_embeddings(folder: Path, config: SearchConfig) -> None:
    """Write what each token is read as, [V, H] in the dtype of the model's files; its tokenizer;
    and how it ends what it writes."""
    model = stored_model(config)
    embedding = model.get_input_embeddings()
    table = embedding(torch.arange(len(embedding.weight))).contiguous()
    save_file({"embeddings": table}, folder / "embeddings.safetensors")
    read_tokenizer(config.model)[0].save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
