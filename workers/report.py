"""What a worker reports of its trials, whoever runs it."""

from dataclasses import dataclass


@dataclass
class Report:
    """A trial reached a rung.

    Attributes:
        number: the trial's.
        rung: counted from 1.
        step: steps or rounds done.
        score: the task's metric on validation, oriented: more is better.
        loss: mean negative log-probability of the right labels on validation, in nats.
        train_loss: the same over the training batches since the last rung.
        gradient_norm: Euclidean norm of the last step's gradient by the prompt's embeddings, before
            it was clipped; None where there was no step since the last rung.
        prompt: the prompt, as safetensors.
        log_probs: [B, L] of the validation texts that judged it, as safetensors: of all as they
            come, or of its block.
        seconds: of the worker's time, since the last report.
        examples: texts it trained on or was judged by since the last report, as often as each was.
        ended: the trial has nothing more to report.
        stopped: a stopping rule has ended it here.
        judged: how many validation texts judged it; None for all of them, as where it ended.
        tokens: that the prompt costs each text, as `tokens_beside` counts them; None for unknown.
    """

    number: int
    rung: int
    step: int
    score: float
    loss: float
    train_loss: float
    gradient_norm: float | None
    prompt: bytes
    log_probs: bytes
    seconds: float
    examples: int
    ended: bool
    stopped: bool = False
    judged: int | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class Failure:
    """A trial raised; its worker goes on."""

    number: int
    error: str
    traceback: str
    seconds: float


@dataclass(frozen=True)
class Work:
    """What a worker did: models loaded, and texts by how the cache came to them."""

    models_loaded: int = 0
    texts_encoded: int = 0
    texts_read: int = 0
    cache_hits: int = 0

    def since(self, before: "Work") -> "Work":
        return Work(
            self.models_loaded - before.models_loaded,
            self.texts_encoded - before.texts_encoded,
            self.texts_read - before.texts_read,
            self.cache_hits - before.cache_hits,
        )


@dataclass(frozen=True)
class Step:
    """What a worker came to when it last went on: at least one report, while it has trials.

    Attributes:
        work: done in this step.
        cache_bytes: what the worker keeps of texts.
        slower: why trials on this worker take longer than they might.
        worker: host:pid of its process.
    """

    reports: list[Report | Failure]
    worker: str
    work: Work = Work()
    cache_bytes: int = 0
    slower: str | None = None
