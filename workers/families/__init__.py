"""Families of language models: how each lays out a prompt beside a text, and what it can reuse."""

from autoprompt.workers.families.causal import CausalFamily
from autoprompt.workers.families.family import Family
from autoprompt.workers.families.masked import MaskedFamily
from autoprompt.workers.families.seq2seq import Seq2SeqFamily

__all__ = ["FAMILIES", "Family"]

FAMILIES: dict[str, type[Family]] = {
    "causal": CausalFamily,
    "masked": MaskedFamily,
    "seq2seq": Seq2SeqFamily,
}
