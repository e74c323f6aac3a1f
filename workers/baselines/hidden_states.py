"""What the frozen model makes of a text where its template asks for an answer: one pass for each
text, however many baselines work on it."""

import time
from collections.abc import Sequence

import numpy as np

from autoprompt.workers.batches import windows
from autoprompt.workers.rows import Text
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.vote import Floats

#: Bytes of kept states. Of more texts fewer layers are kept, and of still more a part of the texts.
_MOST_BYTES = 512 << 20

#: Layers are alike to their neighbours: so many, spread evenly, find what there is to find.
LAYERS = 12


class HiddenStates:
    """The states of texts, [H] in each layer.

    Attributes:
        layers: those that are kept, counted from 1; the last one is always among them.
        seconds: spent on computing what is kept.
    """

    def __init__(self, scorer: Scorer, most_bytes: int = _MOST_BYTES) -> None:
        self._scorer = scorer
        self._most_bytes = most_bytes
        self._rows: dict[Text, Floats] = {}
        self.layers: tuple[int, ...] = ()
        self.seconds = 0.0

    def keep(self, texts: Sequence[Text], most_layers: int | None = LAYERS) -> None:
        """Compute the states of texts, and keep them: in as many layers as memory has room for.

        Args:
            most_layers: at most so many; None for all.

        Raises:
            ModelError: the model does not tell its states.
        """
        started = time.perf_counter()
        self.forget()
        distinct = list(dict.fromkeys(texts))
        scorer = self._scorer
        width = 4 * scorer.model.hidden_size
        # Where not even one layer of all texts fits, the others are computed when they are asked.
        distinct = distinct[: max(1, self._most_bytes // width)]
        room = self._most_bytes // (width * max(1, len(distinct)))
        for window in windows(distinct):
            own = [distinct[place] for place in window]
            for places, states in scorer.hidden_states(scorer.tokenize(own)):
                if not self.layers:
                    most = min(room, most_layers or room)
                    self.layers = spread(len(states), most)
                chosen = states[[layer - 1 for layer in self.layers]].numpy()
                for column, place in enumerate(places):
                    self._rows[own[place]] = chosen[:, column].copy()
        self.seconds += time.perf_counter() - started

    def layers_for(self, texts: Sequence[Text]) -> tuple[int, ...]:
        """The layers in which states are kept; those of these texts are where none are yet.

        Raises:
            ModelError: the model does not tell its states.
        """
        if not self.layers:
            self.keep(texts)
        return self.layers

    def at(self, texts: Sequence[Text], layer: int) -> Floats:
        """[B, H] of B texts in one layer: from what is kept where it is there, else computed.

        Raises:
            ModelError: the model does not tell its states.
        """
        found = np.empty((len(texts), self._scorer.model.hidden_size), dtype=np.float32)
        row = self.layers.index(layer) if layer in self.layers else None
        missing = []
        for place, text in enumerate(texts):
            kept = None if row is None else self._rows.get(text)
            if kept is None:
                missing.append(place)
            else:
                found[place] = kept[row]
        scorer = self._scorer
        for window in windows([texts[place] for place in missing]):
            own = [missing[place] for place in window]
            tokens = scorer.tokenize([texts[place] for place in own])
            for places, states in scorer.hidden_states(tokens):
                found[[own[place] for place in places]] = states[layer - 1].numpy()
        return found

    def forget(self) -> None:
        """Let go of what is kept."""
        self._rows.clear()
        self.layers = ()


def spread(layers: int, most: int) -> tuple[int, ...]:
    """At most so many of the layers 1 to `layers`, evenly, the last one among them."""
    count = max(1, min(layers, most))
    return tuple(round(layers * (place + 1) / count) for place in range(count))
