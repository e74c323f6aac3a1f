"""The frozen model: loaded once, never trained, asked for label words' logits, or for how probable
a token is."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    DynamicCache,
    EncoderDecoderCache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import BaseModelOutput

from autoprompt.workers.attention import merges
from autoprompt.workers.device_copies import on_device
from autoprompt.workers.model_config import (
    context_length,
    family_of,
    keeps_whole_text,
    rotation_depends_on_length,
    text_window,
)
from autoprompt.workers.output_layer import OutputLayer, chosen_log_probs
from autoprompt.workers.past import shared_past


class FrozenModel:
    """A language model whose parameters never change.

    Attributes:
        model: the transformers model, in eval mode, no parameter requiring grad.
        tokenizer: its tokenizer.
        family: causal, masked or seq2seq.
        embeddings: [V, H], the input embeddings, in the model's dtype.
        context_length: the most tokens of one input, or None where the model has no bound.
        window: the fewest tokens that a causal model's layer sees, or None where all see all.
        cache_key: equal for two models whose hidden states of every text are equal; None where
            unknown.
        trust_file: what is there once kept texts of such a model were found right; None where that
            is not known from one process to the next.
    """

    trust_file: Path | None = None

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        cache_key: str | None = None,
    ) -> None:
        self.model: Any = model.eval().requires_grad_(False)
        self.tokenizer: Any = tokenizer
        self.cache_key = cache_key
        self.family = family_of(model.config) or "causal"
        self.embeddings: Tensor = self.model.get_input_embeddings().weight
        self.context_length = context_length(model.config)
        self.window = text_window(model.config) if self.family == "causal" else None
        self._readout = OutputLayer(self.model.get_output_embeddings())
        self.model.set_output_embeddings(self._readout)
        self._accepts = set(inspect.signature(self.model.forward).parameters)
        self._kept: list[int] | None = None
        #: Where the states of the last pass go, while they are asked for.
        self._states: list[Tensor] | None = None
        self._cuts = self._can_be_cut()

    @property
    def device(self) -> torch.device:
        return self.embeddings.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embeddings.dtype

    @property
    def hidden_size(self) -> int:
        return int(self.embeddings.shape[1])

    @property
    def may_reuse_text(self) -> bool:
        """Whether the hidden states of a text can be kept and gone on from.

        An encoder's output always can. Of causal models those whose every layer keeps plain keys
        and values, as long as a text fits their window, if they have one. A masked model reads
        every token in the light of every other, so nothing of it stays.
        """
        if self.family != "causal":
            return self.family == "seq2seq"
        if not keeps_whole_text(self.model.config):
            return False
        stateful = getattr(self.model, "_is_stateful", False)
        return "past_key_values" in self._accepts and not stateful

    @property
    def merges_attention(self) -> bool:
        """Whether attention reads what `past.py` notes on keys."""
        return merges(self.model)

    @cached_property
    def counts_distances(self) -> bool:
        """Whether only the distances between tokens count, so that an input may stand at any
        positions, those below 0 too: rotary embeddings, whose angles do not depend on the input's
        length."""
        if self.family != "causal" or "position_ids" not in self._accepts:
            return False
        rotary = any("rotary" in name for name, _ in self.model.named_modules())
        return rotary and not rotation_depends_on_length(self.model.config)

    @property
    def _is_spread(self) -> bool:
        """Whether layers lie on several devices: then what picks positions from the last one's
        output lies on the first one's, and positions are picked from the logits."""
        return len(set(getattr(self.model, "hf_device_map", {}).values())) > 1

    @property
    def takes_rows(self) -> bool:
        """Whether the keys and values of a KV prompt mean the same behind a short text and a long
        one: rotary embeddings, or positions that are no part of keys (GPT-2's learned ones)."""
        if not self.may_reuse_text or "position_ids" not in self._accepts:
            return False
        if self.counts_distances:
            return True
        # GPT-J and its kin turn keys in a way of their own.
        own_way = hasattr(self.model.config, "rotary_dim")
        return not own_way and not rotation_depends_on_length(self.model.config)

    def keep_logits_of(self, token_ids: Sequence[int] | None) -> None:
        """From now on `logits` answers for these tokens only, in this order; None for all."""
        kept = None if token_ids is None else list(token_ids)
        if kept == self._kept:
            return
        self._kept = kept
        self._readout.keep(self._kept if self._cuts else None)

    @property
    def _one_token(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The place and the inputs of a pass of one token, to try what the model does: not of the
        first, which pads and may be all zeros."""
        first = torch.zeros(1, dtype=torch.long, device=self.device)
        inputs = {"inputs_embeds": self.embed(first[None] + len(self.embeddings) // 2)}
        if self.family == "seq2seq":
            inputs["decoder_inputs_embeds"] = inputs["inputs_embeds"]
        return first, inputs

    @torch.no_grad()
    def _can_be_cut(self) -> bool:
        """Whether the output layer may answer for a few tokens only; not where the model adds
        something to the whole vocabulary's logits afterwards, as BART does."""
        first, inputs = self._one_token
        tokens = [0, len(self.embeddings) - 1]
        whole = self.logits(first, **inputs)[..., tokens]
        try:
            self._readout.keep(tokens)
            cut = self.logits(first, **inputs)
        except RuntimeError:
            return False
        finally:
            self._readout.keep(None)
        return bool((whole - cut).abs().max() <= 0.05 * whole.abs().max())

    @cached_property
    @torch.no_grad()
    def _ends_in_readout(self) -> bool:
        """Whether the output layer is the last thing that a model does, so that it may be applied
        to a few states at a time; Gemma 2, for one, caps its logits."""
        first, inputs = self._one_token
        self.keep_logits_of(None)
        whole = self.logits(first, **inputs)
        try:
            states = self._states_before_readout(first, **inputs)
            apart = (self._readout.full(states).float() - whole).abs().max()
        except RuntimeError:  # what follows goes by the vocabulary, as BART's bias does
            return False
        return bool(apart <= 0.01 * whole.abs().max())

    def embed(self, token_ids: Tensor | Sequence[int]) -> Tensor:
        """Token ids [...] to input embeddings [..., H]."""
        ids = on_device(token_ids, self.device, torch.long)
        embedded: Tensor = self.model.get_input_embeddings()(ids)
        return embedded

    def logits(self, keep: Tensor, **arguments: Any) -> Tensor:
        """The logits of the kept tokens at chosen positions.

        Args:
            keep: the positions to answer for, [N] or [B, N]: of the decoder, where there is one.
            arguments: the transformers model's own, such as inputs_embeds [B, Q, H], attention_mask
                [B, past + Q] of 0/1 or [B, 1, Q, past + Q] to be added to the scores, position_ids
                [B, Q] and past_key_values.

        Returns:
            [B, N, kept tokens] in float32.
        """
        if "position_ids" not in self._accepts:
            arguments.pop("position_ids", None)
        if "use_cache" in self._accepts:
            arguments["use_cache"] = arguments.get("past_key_values") is not None
        if keep.ndim == 1:
            inputs = "decoder_inputs_embeds" if self.family == "seq2seq" else "inputs_embeds"
            keep = keep.expand(len(arguments[inputs]), -1)
        if self._states is not None:
            arguments["output_hidden_states"] = True
        cuts = "logits_to_keep" in self._accepts and not self._is_spread
        output = self.model(**arguments, **({"logits_to_keep": keep} if cuts else {}))
        if self._states is not None:
            self._tell_states(output, keep)
        logits = output.logits.float()
        if not cuts:
            logits = torch.take_along_dim(logits, keep.to(logits.device)[..., None], dim=1)
        uncut = self._kept is not None and not self._cuts
        return logits[..., self._kept] if uncut else logits

    def log_probs(self, keep: Tensor, wanted: Tensor, **arguments: Any) -> Tensor:
        """The log-probabilities, among the whole vocabulary, of a token at each of chosen
        positions; of all logits, those of a few positions stand in memory at once.

        Args:
            keep, arguments: as in `logits`.
            wanted: [B, N], the tokens; below 0 for none.

        Returns:
            [B, N] in float32; 0 where no token is wanted.
        """
        self.keep_logits_of(None)
        if self._ends_in_readout:
            states = self._states_before_readout(keep, **arguments)
            return chosen_log_probs(self._readout.full, states, wanted, len(self.embeddings))
        logits = self.logits(keep, **arguments)
        return chosen_log_probs(nn.Identity(), logits, wanted, len(self.embeddings))

    def _states_before_readout(self, keep: Tensor, **arguments: Any) -> Tensor:
        """[B, N, H], what `logits` with the same arguments would put into the output layer."""
        self._readout.is_bare = True
        try:
            return self.logits(keep, **arguments).to(self.dtype)
        finally:
            self._readout.is_bare = False

    @contextmanager
    def telling_states(self) -> Iterator[list[Tensor]]:
        """While it lasts, the list it yields holds the hidden states of the last pass at the
        positions that `logits` was to answer for: of every layer [B, N, H], the first one's before
        all others.

        A model that tells none leaves it empty.
        """
        states: list[Tensor] = []
        self._states = states
        try:
            yield states
        finally:
            self._states = None

    def _tell_states(self, output: Any, keep: Tensor) -> None:
        """Of the decoder, where there is one."""
        hidden = getattr(output, "decoder_hidden_states", None) or output.hidden_states or ()
        assert self._states is not None
        self._states[:] = [
            torch.take_along_dim(layer, keep.to(layer.device)[..., None], dim=1) for layer in hidden
        ]

    def encoder_output(self, inputs_embeds: Tensor, attention_mask: Tensor) -> Tensor:
        """[B, T, H] from the encoder of a seq2seq model; `attention_mask` is [B, T] of 0/1."""
        encoder = self.model.get_encoder()
        encoded = encoder(inputs_embeds=inputs_embeds, attention_mask=attention_mask)
        output: Tensor = encoded.last_hidden_state
        return output

    def over_encoder(
        self, output: Tensor, mask: Tensor, rows: Tensor | None = None
    ) -> dict[str, Any]:
        """What a pass of a seq2seq model's decoder takes beside its input.

        Args:
            output: [B, T, H], from `encoder_output`.
            mask: [B, T] of 0/1.
            rows: [P, layers, 2, groups, size], the keys and values that the decoder sees before its
                input; empty or None for none.
        """
        arguments: dict[str, Any] = {
            "encoder_outputs": BaseModelOutput(last_hidden_state=output),
            "attention_mask": mask,
        }
        if rows is not None and len(rows):
            past = shared_past(rows.permute(1, 2, 3, 0, 4), len(output))
            arguments["past_key_values"] = EncoderDecoderCache(past, DynamicCache())
        return arguments
