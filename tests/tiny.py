"""A Llama of two layers with random weights, and a tokenizer trained on made-up reviews."""

import itertools
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

_THINGS = ("film", "plot", "cast", "score", "ending", "story", "dialogue", "camera work")
_GOOD = ("a joy", "warm and clever", "bright", "full of life", "moving", "great", "a delight")
_BAD = ("dull", "far too long", "flat", "a mess", "tiresome", "awful", "without a pulse")

TEXTS = [
    {"text": f"the {thing} is {word}", "label": label}
    for thing in _THINGS
    for label, words in (("positive", _GOOD), ("negative", _BAD))
    for word in words
]

CONTEXT_LENGTH = 64


def save_tiny_model(folder: Path, **changes: object) -> Path:
    """Save model and tokenizer to `folder`; `changes` go into the model's config."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    corpus = [f"Review: {row['text']}.\nSentiment: {row['label']} in short" for row in TEXTS]
    corpus += [" ".join(pair) for pair in itertools.permutations(_GOOD + _BAD, 2)]
    tokenizer.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<end>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")
    torch.manual_seed(0)
    config = LlamaConfig(
        **{
            "vocab_size": len(fast),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": CONTEXT_LENGTH,
            "initializer_range": 0.2,
            "bos_token_id": None,
            "eos_token_id": 0,
            "pad_token_id": 0,
        }
        | changes
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
