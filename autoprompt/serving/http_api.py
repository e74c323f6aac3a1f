"""The routes: what is asked over HTTP, and what is wrong with it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPBearer

from autoprompt.search_spaces.distribution import version
from autoprompt.serving.answering import Answering, RefusedError
from autoprompt.serving.bodies import (
    Health,
    PredictionBody,
    PredictRequest,
    PredictResponse,
    Refusal,
    SearchesResponse,
)
from autoprompt.serving.gate import Gate
from autoprompt.serving.messages import ServedSearch
from autoprompt.serving.metrics import ServingMetrics, exported
from autoprompt.serving.settings import ServeSettings
from autoprompt.serving.systemone import SystemOneRequest, SystemOneResponse, answers_to, asked_by
from autoprompt.workers.rows import Text, as_text

_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": why}
    for status, why in {
        401: "No token, or another one.",
        404: "No such search is served.",
        413: "The body is too large.",
        422: "The body is not as it should be, or a text will not do.",
        429: "Too many texts wait; Retry-After says how long to.",
        503: "The model is being loaded, or no replica answers; try again after Retry-After.",
    }.items()
}


def http_app(
    answering: Answering, settings: ServeSettings, metrics: ServingMetrics, digest: str | None
) -> Gate:
    """The application, behind its gate.

    Args:
        digest: of the token; None lets everybody in.
    """

    @asynccontextmanager
    async def following(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(answering.follow())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    app = FastAPI(
        title="Autoprompt",
        summary="Labels texts with searches' ensembles.",
        version=version(),
        lifespan=following,
        redoc_url=None,
    )
    # The gate has looked at it by then: this tells OpenAPI, and with it clients, of it.
    token = [Depends(HTTPBearer(auto_error=False))] if digest else []

    @app.exception_handler(RefusedError)
    async def refuse(request: Request, error: RefusedError) -> JSONResponse:
        metrics.refused(error.why)
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return JSONResponse({"detail": error.detail}, error.status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        metrics.refused("body")
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        more = len(error.errors()) - 1
        detail = f"{place or 'body'}: {first['msg']}" + (f"; {more} more" if more else "")
        return JSONResponse({"detail": detail}, 422)

    @app.post("/v1/predict", responses=_REFUSALS, dependencies=token, tags=["predict"])
    async def predict(body: PredictRequest) -> PredictResponse:
        """Label texts with one search's ensemble, in the order given."""
        search = answering.search(body.search)
        texts = checked(search, _texts_of(search, body), settings)
        labelled = await answering.label({search.name: texts})
        found = [PredictionBody.model_construct(**row) for row in labelled[search.name]]
        return PredictResponse.model_construct(search=search.name, predictions=found)

    @app.get("/v1/searches", responses=_REFUSALS, dependencies=token, tags=["predict"])
    async def searches() -> SearchesResponse:
        """The searches that are served, and what each reads and answers."""
        return SearchesResponse(searches=list(answering.searches.values()))

    @app.post("/v1/systemone", responses=_REFUSALS, dependencies=token, tags=["systemone"])
    async def systemone(body: SystemOneRequest) -> SystemOneResponse:
        """Decisions about one state, a search for each question. Instructions are not obeyed: a
        search asks in its own words, whatever a question says."""
        asked = asked_by(body, answering)
        texts = {
            name: checked(answering.search(name), [text], settings) for name, text in asked.items()
        }
        return answers_to(body, answering, await answering.label(texts))

    @app.get("/health", responses={503: {"model": Health}}, tags=["operation"])
    async def health() -> JSONResponse:
        """Whether requests are answered."""
        ready = answering.is_ready
        return JSONResponse({"status": "ok" if ready else "loading"}, 200 if ready else 503)

    @app.get("/metrics", dependencies=token, response_class=PlainTextResponse, tags=["operation"])
    async def prometheus() -> str:
        """Counts for Prometheus, of all the cluster's nodes; a few seconds old."""
        return await exported()

    return Gate(app, digest, settings.max_body_bytes, metrics.refused)


def _texts_of(search: ServedSearch, body: PredictRequest) -> Sequence[Text]:
    """The request's texts as its search reads them.

    Raises:
        RefusedError: 422, the search reads other columns.
    """
    if body.texts is not None:
        if len(search.columns) > 1:
            columns = ", ".join(search.columns)
            raise RefusedError(
                422, f"search {search.name!r} reads the columns {columns}: send rows", "text"
            )
        return body.texts
    assert body.rows is not None
    for number, row in enumerate(body.rows):
        missing = [column for column in search.columns if column not in row]
        if missing:
            raise RefusedError(422, f"rows.{number}: no column {missing[0]!r}", "text")
    if len(search.columns) == 1:
        return [row[search.columns[0]] for row in body.rows]
    return [{column: row[column] for column in search.columns} for row in body.rows]


def checked(search: ServedSearch, texts: Sequence[Text], settings: ServeSettings) -> Sequence[Text]:
    """Texts that are within the limits.

    Raises:
        RefusedError: 422, they are too many, or one is empty or too long.
    """
    if len(texts) > settings.max_texts:
        raise RefusedError(
            422, f"{len(texts)} texts, and a request may have {settings.max_texts}", "text"
        )
    for number, text in enumerate(texts):
        cells = [text] if isinstance(text, str) else text.values()
        if not all(cell.strip() for cell in cells):
            raise RefusedError(422, f"text {number} is empty", "text")
        if (length := len(as_text(text))) > settings.max_text_length:
            raise RefusedError(
                422,
                f"text {number} has {length} characters, and may have {settings.max_text_length}",
                "text",
            )
    return texts
