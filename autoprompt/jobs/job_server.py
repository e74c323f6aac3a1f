"""A Ray cluster's job server: how it is reached, and what its refusals mean.

The one file that uses what Ray's job client does not document; `tests/autoprompt/test_internals.py`
holds each of these names against the installed Ray.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import ray
import requests
from ray.dashboard.modules.dashboard_sdk import SubmissionClient
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from autoprompt.quiet import quiet
from autoprompt.search_spaces.errors import ClusterError

DEFAULT_ADDRESS = "http://127.0.0.1:8265"

#: So long the server may take to answer, in seconds.
ANSWER_SECONDS = 30.0


class Client(JobSubmissionClient):
    """Ray's, but it takes the address it is given, and no answer takes for ever.

    Attributes:
        shown: the address as it may be shown.
    """

    def __init__(self, url: str) -> None:
        # The parent's lets the environment come before the argument.
        with quiet("ray", logging.ERROR):  # it tells of every request
            SubmissionClient.__init__(self, url)
        self.shown = without_user(url)
        self._client_ray_version = ray.__version__

    def _do_request(self, method: str, endpoint: str, **kwargs: Any) -> requests.Response:
        with quiet("ray", logging.ERROR):
            return super()._do_request(method, endpoint, timeout=ANSWER_SECONDS, **kwargs)

    def ray_version(self) -> str:
        answer = self._do_request("GET", "/api/version")
        answer.raise_for_status()
        self._server_ray_version = str(answer.json()["ray_version"])
        return self._server_ray_version


def connect(address: str | None) -> Client:
    """The job server of the cluster at an address, or at the environment's.

    Raises:
        ClusterError: it does not answer, asks for another token, or runs another Ray.
    """
    client = Client(address_of(address))
    with asking(client.shown):
        there = client.ray_version()
    if there != ray.__version__:
        raise ClusterError(
            f"cluster {client.shown}: runs Ray {there}, and here is Ray {ray.__version__}; "
            "install the same version on both sides"
        )
    return client


def address_is_given(given: str | None) -> bool:
    """Whether anything names a cluster, or this machine's is only a guess."""
    return bool(given or os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS"))


def address_of(given: str | None) -> str:
    """The URL of a cluster's dashboard.

    Raises:
        ClusterError: it is an address of something else.
    """
    address = (
        given
        or os.environ.get("RAY_API_SERVER_ADDRESS")
        or os.environ.get("RAY_ADDRESS")
        or DEFAULT_ADDRESS
    )
    if address == "auto":
        address = DEFAULT_ADDRESS
    url = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ClusterError(
            f"address {without_user(address)!r}: not a dashboard's; write one like "
            f"{DEFAULT_ADDRESS}"
        )
    return url.rstrip("/")


def without_user(url: str) -> str:
    """An address as it may be shown: what stands before its @ can be a secret."""
    scheme, _, rest = url.rpartition("://")
    return f"{scheme}://{rest.split('@')[-1]}" if scheme else rest.split("@")[-1]


@contextlib.contextmanager
def asking(shown: str) -> Iterator[None]:
    """Ray's and HTTP's errors in one line, about the cluster as it is `shown`."""
    try:
        yield
    except AuthenticationError as error:
        refused = "Invalid" in str(error).splitlines()[0]
        what = "does not accept this token" if refused else "asks for a token"
        raise ClusterError(
            f"cluster {shown}: {what}; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH "
            "to a file that holds it (or RAY_AUTH_TOKEN)"
        ) from None
    except requests.Timeout:
        raise ClusterError(f"cluster {shown}: no answer in {ANSWER_SECONDS:.0f} s") from None
    except requests.ConnectionError:
        raise ClusterError(
            f"cluster {shown}: cannot be reached; give the address of its dashboard with "
            f"--address or RAY_API_SERVER_ADDRESS, like {DEFAULT_ADDRESS}"
        ) from None
    except (requests.RequestException, ValueError, KeyError) as error:
        kind = type(error).__name__
        raise ClusterError(
            f"cluster {shown}: does not answer as Ray's job server does ({kind})"
        ) from None
    except RuntimeError as error:
        raise ClusterError(f"cluster {shown}: {_last_line(error)}") from None


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
