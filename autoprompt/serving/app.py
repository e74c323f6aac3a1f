"""The application that Ray Serve runs: those who take requests, before those who hold the model.

`build` is what a Serve configuration names: `import_path: autoprompt.serving.app:build`.
"""

from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, BackpressureConfig
from ray.serve.schema import LoggingConfig

from autoprompt.search_spaces.errors import BadInputError
from autoprompt.serving.front import Api
from autoprompt.serving.labeller import Labeller
from autoprompt.serving.settings import ServeSettings
from autoprompt.serving.token import TOKEN, TOKEN_FILE, digest_of, given_token

#: Requests that one process takes at a time, and those that wait before it.
_REQUESTS = 2048

#: No line a request: they would cost as much as short requests do.
_LOGGING = LoggingConfig(enable_access_log=False)


def application(settings: ServeSettings, digest: str | None) -> Application:
    """The application for these settings.

    Args:
        digest: of the token; None lets everybody in.
    """
    scaling: dict[str, Any] = {"num_replicas": settings.replicas}
    if settings.max_replicas is not None:
        scaling = {
            "autoscaling_config": AutoscalingConfig(
                min_replicas=settings.replicas,
                max_replicas=settings.max_replicas,
                target_ongoing_requests=max(settings.batch_texts // 2, 1),
            )
        }
    labeller = serve.deployment(
        Labeller,
        ray_actor_options={
            "num_cpus": settings.cpus_per_replica,
            "num_gpus": settings.gpus_per_replica,
        },
        # All that may wait is in a replica's hands, so that what comes next is one batch.
        max_ongoing_requests=settings.max_waiting + settings.batch_texts,
        graceful_shutdown_wait_loop_s=0.5,
        health_check_timeout_s=60,
        max_constructor_retry_count=3,
        logging_config=_LOGGING,
        **scaling,
    ).bind(settings)
    api = serve.deployment(
        serve.ingress()(Api),
        name=Api.__name__,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=_REQUESTS,
        max_queued_requests=_REQUESTS,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=1),
        graceful_shutdown_wait_loop_s=0.5,
        logging_config=_LOGGING,
    )
    return api.bind(labeller, settings, digest)


def build(settings: ServeSettings) -> Application:
    """The application of a Serve configuration; the token is the cluster's own.

    Raises:
        BadInputError: the cluster has no token.
    """
    if settings.no_token:
        return application(settings, None)
    token = given_token()
    if token is None:
        raise BadInputError(
            f"the cluster has no token: set {TOKEN}, or {TOKEN_FILE} to a file that holds one, on "
            "its nodes, or no_token: true in the application's args"
        )
    return application(settings, digest_of(token))
