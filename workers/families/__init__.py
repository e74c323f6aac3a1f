"""Families of language models: how each lays out a prompt beside a text, and what it can reuse."""

from workers.families.causal import CausalFamily
from workers.families.family import Family
from workers.families.masked import MaskedFamily
from workers.families.seq2seq import Seq2SeqFamily

__all__ = ["FAMILIES", "Family"]

FAMILIES: dict[str, type[Family]] = {
    "causal": CausalFamily,
    "masked": MaskedFamily,
    "seq2seq": Seq2SeqFamily,
}
