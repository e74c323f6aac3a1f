"""What is turned away before anything of it is read: no token, or a body that is too large."""

from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from autoprompt.serving.token import is_token

#: Answered without a token: they tell nothing of the searches.
OPEN = frozenset({"/health", "/docs", "/openapi.json"})


class Gate:
    """An ASGI application behind a token and a bound on bodies."""

    def __init__(
        self, app: ASGIApp, digest: str | None, most_bytes: int, refused: Callable[[str], None]
    ) -> None:
        """An application behind the gate.

        Args:
            digest: of the token; None lets everybody in.
            refused: told why a request is turned away, in a word.
        """
        self._app = app
        self._digest = digest
        self._most_bytes = most_bytes
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not self._is_let_in(scope["path"], headers):
            detail = "no token, or another one: send Authorization: Bearer TOKEN"
            refusal = self._refusal(401, "token", detail, {"WWW-Authenticate": "Bearer"})
            await refusal(scope, receive, send)
            return
        body = await self._read(headers, receive)
        if body is None:
            detail = f"the body has more than {self._most_bytes} bytes; send fewer texts"
            await self._refusal(413, "body", detail, {})(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, again, send)

    def _is_let_in(self, path: str, headers: Headers) -> bool:
        if self._digest is None or path in OPEN:
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and is_token(token.strip(), self._digest)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        """The body; None where it is too large, whether its length was said or not."""
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._most_bytes:
            return None
        parts, size = [], 0
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._most_bytes:
                return None
            if not message.get("more_body"):
                return b"".join(parts)

    def _refusal(self, status: int, why: str, detail: str, headers: dict[str, Any]) -> JSONResponse:
        self._refused(why)
        return JSONResponse({"detail": detail}, status, headers)
