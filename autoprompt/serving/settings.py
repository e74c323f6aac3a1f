"""What a server is told: which searches, on how many replicas, and how much it takes."""

from typing import Self

from pydantic import Field, model_validator

from autoprompt.search_spaces.documents import Document


class ServeSettings(Document):
    """The arguments of `autoprompt.serving.app:build`, in a Serve configuration's `args`."""

    #: Their ids, names, or `latest`; all on one model. Requests ask for them by name.
    searches: tuple[str, ...] = Field(min_length=1)
    #: The store, where its URL holds no secret; by AUTOPROMPT_DB or AUTOPROMPT_DB_FILE otherwise.
    db: str | None = None
    #: Copies of the model.
    replicas: int = Field(default=1, ge=1)
    #: Up to so many under load; null for `replicas`, always.
    max_replicas: int | None = Field(default=None, ge=1)
    #: Cores for each, one thread a core.
    cpus_per_replica: int = Field(default=1, ge=1)
    #: GPUs for each, or a part of one.
    gpus_per_replica: float = Field(default=0.0, ge=0)
    #: Texts that go through the model together, at most.
    batch_texts: int = Field(default=32, ge=1)
    #: How long a batch should take at most; of a slow model it has fewer texts.
    batch_seconds: float = Field(default=2.0, gt=0)
    #: How long a batch waits for more texts, in milliseconds, where the model has nothing to do.
    batch_wait_ms: float = Field(default=2.0, ge=0)
    #: Characters of a text, all of its columns together.
    max_text_length: int = Field(default=20_000, ge=1)
    #: Texts of a request.
    max_texts: int = Field(default=256, ge=1)
    #: Bytes of a request's body.
    max_body_bytes: int = Field(default=1 << 20, ge=1)
    #: Texts that wait for an answer; a request that would make them more is refused with 429.
    max_waiting: int = Field(default=1024, ge=1)
    #: Seconds after which a request that has no answer gets 503.
    timeout_seconds: float = Field(default=60.0, gt=0)
    #: Seconds between two looks at the store for a better ensemble.
    poll_seconds: float = Field(default=5.0, gt=0)
    #: Answer anyone who reaches the server.
    no_token: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.max_waiting < self.max_texts:
            raise ValueError("max_waiting must be at least max_texts, or no such request is taken")
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError("max_replicas must be at least replicas")
        return self
