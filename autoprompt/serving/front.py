"""What takes requests: a process without a model, nor what one needs."""

from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from autoprompt.serving.answering import Answering
from autoprompt.serving.http_api import http_app
from autoprompt.serving.metrics import ServingMetrics
from autoprompt.serving.settings import ServeSettings


class Api:
    """Takes requests, and gives them to replicas."""

    def __init__(
        self, labeller: DeploymentHandle, settings: ServeSettings, digest: str | None
    ) -> None:
        self._settings = settings
        self._digest = digest
        self._metrics = ServingMetrics()
        self._answering = Answering(labeller, settings, self._metrics)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return http_app(self._answering, self._settings, self._metrics, self._digest)
