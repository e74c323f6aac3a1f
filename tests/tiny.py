"""Models of two layers with random weights, one of each kind, and tokenizers trained on made-up
reviews."""

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, get_tensor_name_map
from gguf.quants import quantize
from safetensors.torch import load_file
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

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

_CORPUS = [f"Review: {row['text']}.\nSentiment: {row['label']} in short" for row in TEXTS] + [
    " ".join(pair) for pair in itertools.permutations(_GOOD + _BAD, 2)
]
_CLOZE_CORPUS = [*_CORPUS, *(f"Review: {row['text']} It was {row['text']}." for row in TEXTS)]


def save_tiny_model(folder: Path, **changes: object) -> Path:
    """A Llama, saved to `folder` with its tokenizer; `changes` go into the model's config."""
    tokenizer = _byte_level(["<end>"], _CORPUS, 400)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")
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
    torch.manual_seed(0)
    return _save(LlamaForCausalLM(config), fast, folder)


def save_tiny_gguf(model: Path, file: Path, kind: GGMLQuantizationType) -> Path:
    """A tiny Llama as a GGUF file, as llama.cpp's converter writes one.

    Args:
        model: a folder that `save_tiny_model` made, of tied rows.
        kind: how the matrices are quantised.
    """
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    known = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    tokens = sorted(known["vocab"], key=known["vocab"].get)
    writer = GGUFWriter(file, "llama")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * (len(tokens) - 1))
    writer.add_token_merges([" ".join(pair) for pair in known["merges"]])
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, tensor in load_file(model / "model.safetensors").items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            # llama.cpp rotates pairs of neighbours, transformers halves.
            heads = config["num_" + ("key_value" if "k_proj" in name else "attention") + "_heads"]
            tensor = tensor.view(heads, 2, -1, tensor.shape[1]).transpose(1, 2).reshape_as(tensor)
        own = kind if tensor.ndim > 1 else GGMLQuantizationType.F32
        rows = quantize(tensor.contiguous().numpy(), own)
        writer.add_tensor(str(names.get_name(name, (".weight",))), rows, raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def save_tiny_bert(
    folder: Path, corpus: list[str] = _CLOZE_CORPUS, vocabulary: int = 400, **changes: object
) -> Path:
    """A BERT with a WordPiece tokenizer, as BERT's are: lower case, [CLS] and [SEP] around."""
    normalizer, splitter = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    lines = [normalizer.normalize_str(line) for line in corpus]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters, words = _letters_and_words(lines, splitter)
    pieces = special + letters + [f"##{letter}" for letter in letters] + words
    known = {piece: index for index, piece in enumerate(dict.fromkeys(pieces[:vocabulary]))}
    tokenizer = Tokenizer(models.WordPiece(vocab=known, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    config = BertConfig(
        **{
            "vocab_size": len(fast),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": CONTEXT_LENGTH,
            "initializer_range": 0.2,
            "pad_token_id": 0,
        }
        | changes
    )
    torch.manual_seed(0)
    return _save(BertForMaskedLM(config), fast, folder)


def save_tiny_roberta(folder: Path) -> Path:
    """A RoBERTa, whose positions are counted from behind its padding token's id."""
    fast = _between("<s>", "</s>", mask_token="<mask>")
    config = RobertaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT_LENGTH + 2,
        initializer_range=0.2,
        pad_token_id=1,
    )
    torch.manual_seed(0)
    return _save(RobertaForMaskedLM(config), fast, folder)


def save_tiny_bart(folder: Path) -> Path:
    """A BART, whose decoder has positions of its own and reads two tokens before it answers."""
    fast = _between("<s>", "</s>", mask_token="<mask>")
    config = BartConfig(
        vocab_size=len(fast),
        d_model=32,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        max_position_embeddings=CONTEXT_LENGTH,
        init_std=0.2,
        scale_embedding=True,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    torch.manual_seed(0)
    return _save(BartForConditionalGeneration(config), fast, folder)


def save_tiny_t5(
    folder: Path, corpus: list[str] = _CLOZE_CORPUS, vocabulary: int = 400, **changes: object
) -> Path:
    """A T5 with a tokenizer as SentencePiece makes them, sentinels and all."""
    splitter = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>", "<extra_id_0>"]
    letters, words = _letters_and_words(corpus, splitter)
    pieces = list(dict.fromkeys([*special, *words[: vocabulary - len(letters)], *letters]))
    # The sooner a piece stands in the list, the likelier it is.
    scored = [(piece, -0.01 * place) for place, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=2))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=["<extra_id_0>"],
    )
    config = T5Config(
        **{
            "vocab_size": len(fast),
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 64,
            "num_layers": 2,
            "num_heads": 4,
            "initializer_factor": 1.0,
            "decoder_start_token_id": 0,
            "pad_token_id": 0,
            "eos_token_id": 1,
        }
        | changes
    )
    torch.manual_seed(0)
    return _save(T5ForConditionalGeneration(config), fast, folder)


def _letters_and_words(lines: list[str], splitter: Any) -> tuple[list[str], list[str]]:
    """What a text is made of, the most frequent words first: the same at every call, which a
    trainer's vocabulary is not."""
    counts = Counter(word for line in lines for word, _ in splitter.pre_tokenize_str(line))
    words = sorted(counts, key=lambda word: (-counts[word], word))
    return sorted({letter for word in words for letter in word}), words


def _byte_level(special: list[str], corpus: list[str], vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return tokenizer


def _between(begin: str, end: str, **tokens: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that puts a token before and one after every input."""
    tokenizer = _byte_level([begin, "<pad>", end, *tokens.values()], _CORPUS, 400)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(begin, 0), (end, 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=begin, eos_token=end, pad_token="<pad>", **tokens
    )


def _save(model: Any, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
