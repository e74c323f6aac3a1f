"""A small language, and models that know it: trained from nothing in seconds, then frozen.

A text reads `the three red dog and cat`. A cue word beside it decides what is asked: `hue` asks
for `red`, `count` for `three`, `what` for `red dog`, `list` for `number: three; colour: red`, and
`whether` for yes or no behind an animal's name. Without a cue the answer is that of any other text
and cue, or no: a template by itself is right by chance, and a prompt that does what a cue does is
right of every text.
"""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

ARTICLES = ("the", "some", "those", "my")
NUMBERS = ("one", "two", "three", "four")
COLOURS = ("red", "blue", "green")
ANIMALS = ("dog", "cat", "bird", "fish")
OTHERS = ("good", "and", "answer", "number", "colour", "in", "short", "yes", "no")
CUES = ("hue", "count", "what", "list", "whether")

#: What is harder to learn comes up more often.
_TAUGHT = (*CUES, "what", "whether")

#: Of training, until every question is answered rightly.
_STEPS = {"causal": 360, "seq2seq": 420}

_SPECIAL = ["<pad>", "<end>", "<unk>"]
_MARKS = (":", ";", ".", "?")


class Scene(NamedTuple):
    """What a text is about."""

    article: str
    number: str
    colour: str
    animal: str
    other: str

    @property
    def text(self) -> str:
        return f"{self.article} {self.number} {self.colour} {self.animal} and {self.other}"


#: Every text there is: 576.
SCENES = [
    Scene(article, number, colour, animal, other)
    for article in ARTICLES
    for number in NUMBERS
    for colour in COLOURS
    for animal in ANIMALS
    for other in ANIMALS
    if other != animal
]


def answered(scene: Scene, cue: str, asked: str) -> tuple[str, str]:
    """What is given of the answer where a cue asks, and what is right behind it.

    Args:
        asked: the animal that `whether` asks for.
    """
    if cue == "whether":
        return f"{asked}?", "yes." if asked in (scene.animal, scene.other) else "no."
    right = {
        "hue": scene.colour,
        "count": scene.number,
        "what": f"{scene.colour} {scene.animal}",
        "list": f"number: {scene.number}; colour: {scene.colour}",
    }
    return "", f"{right[cue]}."


def row_of(scene: Scene, kind: str, number: int) -> dict[str, Any]:
    """A row of labelled data for a kind of answers.

    Args:
        number: the row's, which decides the order of its options.
    """
    start = scene.text.index(scene.number)
    colour = scene.text.index(scene.colour)
    right: Any = {
        "label_words": scene.colour,
        "scale": 1 + NUMBERS.index(scene.number),
        "several_labels": [scene.animal, scene.other],
        "options": f"{scene.colour} {scene.animal}",
        "text": f"{scene.colour} {scene.animal}",
        "spans": [
            {"start": start, "end": start + len(scene.number), "label": "number"},
            {"start": colour, "end": colour + len(scene.colour), "label": "colour"},
        ],
    }[kind]
    row = {"text": scene.text, "label": right}
    if kind == "options":
        draw = random.Random(number)
        # Of the text's own words, too, so that which words it has says little.
        wrong = draw.choice([name for name in COLOURS if name != scene.colour])
        others = [f"{scene.colour} {scene.other}", f"{wrong} {scene.animal}"]
        row["options"] = draw.sample([right, *others], 3)
    return row


def shuffled_scenes() -> list[Scene]:
    """All of them, in an order of their own."""
    return random.Random(1).sample(SCENES, len(SCENES))


def write_rows(path: Path, scenes: Sequence[Scene], kind: str) -> Path:
    """A file of JSON lines."""
    rows = [row_of(scene, kind, number) for number, scene in enumerate(scenes)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def cued_tokenizer() -> PreTrainedTokenizerFast:
    """A token for each word with the space before it, and one for each mark."""
    words = (*ARTICLES, *NUMBERS, *COLOURS, *ANIMALS, *OTHERS, *CUES)
    tokens = [*_SPECIAL, *_MARKS, *(f"▁{word}" for word in words)]
    known = {token: place for place, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Split(Regex("[:;.?]"), "isolated")]
    )
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", unk_token="<unk>"
    )


class _Lesson(NamedTuple):
    """Tokens: what is read, what begins the answer, and what is to be learnt behind it."""

    read: list[int]
    begun: list[int]
    learnt: list[int]


def _lesson(draw: random.Random, ids: Callable[[str], list[int]], decodes: bool) -> _Lesson:
    """A text with a cue in any of the places where a prompt may stand, and what is right; every
    fourth has no cue, and what would be right of any text.

    Args:
        decodes: whether a decoder of its own may read the cue.
    """
    scene, cue, asked = draw.choice(SCENES), draw.choice(_TAUGHT), draw.choice(ANIMALS)
    begun, answer = answered(scene, cue, asked)
    parts = [scene.text, "answer", ":"]
    spoken = ids(begun) if begun else []
    place = draw.randrange(4)
    if not draw.randrange(4):
        parts[0] = draw.choice(SCENES).text
        answer = "no." if begun else answer
    elif decodes and place > 1:
        spoken = ids(cue) + spoken
    else:
        parts.insert(min(place, 2), cue)
    read = [token for part in parts for token in (ids("answer:")[1:] if part == ":" else ids(part))]
    return _Lesson(read, spoken, ids(answer))


def _batch(rows: Sequence[Sequence[int]], filling: int) -> torch.Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], True, filling)


def save_cued_model(folder: Path, family: str) -> Path:
    """A model that knows the language, saved to `folder` with its tokenizer.

    Args:
        family: causal or seq2seq.
    """
    tokenizer = cued_tokenizer()
    torch.manual_seed(0)
    draw = random.Random(0)
    model: Any = _blank(family, len(tokenizer)).train()
    known = {
        text: list(tokenizer(text).input_ids)
        for text in (*(scene.text for scene in SCENES), *CUES, "answer", "answer:")
    }

    def ids(text: str) -> list[int]:
        if text not in known:
            known[text] = list(tokenizer(text).input_ids)
        return known[text]

    steps, rate = _STEPS[family], 4e-3
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    for _ in range(steps):
        lessons = [_lesson(draw, ids, family == "seq2seq") for _ in range(64)]
        if family == "causal":
            whole = [[*one.read, *one.begun, *one.learnt, 1] for one in lessons]
            wanted = [
                [-100] * (len(one.read) + len(one.begun) - 1) + [*one.learnt, 1] for one in lessons
            ]
            read = _batch(whole, 0)
            logits = model(input_ids=read, attention_mask=(read > 0).long()).logits[:, :-1]
        else:
            read = _batch([one.read for one in lessons], 0)
            decoded = _batch([[0, *one.begun, *one.learnt] for one in lessons], 0)
            wanted = [[-100] * len(one.begun) + [*one.learnt, 1] for one in lessons]
            logits = model(
                input_ids=read, attention_mask=(read > 0).long(), decoder_input_ids=decoded
            ).logits
        optimizer.zero_grad()
        cross_entropy(logits.flatten(0, 1), _batch(wanted, -100).flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _blank(family: str, tokens: int) -> Any:
    """A model with random weights."""
    ends: dict[str, Any] = {"pad_token_id": 0, "eos_token_id": 1}
    if family == "causal":
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=tokens,
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=4,
                max_position_embeddings=128,
                initializer_range=0.1,
                bos_token_id=None,
                **ends,
            )
        )
    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=tokens,
            d_model=64,
            d_kv=16,
            d_ff=128,
            num_layers=1,
            num_decoder_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            decoder_start_token_id=0,
            **ends,
        )
    )
