"""The FastAPI application: four addresses, and one form of error for whatever is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Path, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from kdgat.data.sealing import labels_sealed
from kdgat.errors import DataError, KdgatError, RunError
from kdgat.serving.body import (
    STREAM,
    Answer,
    Closed,
    Fault,
    Health,
    Judged,
    Message,
    Model,
    Problem,
    Request,
    arrays,
)
from kdgat.serving.streams import MOST, Streams, TooMany

if TYPE_CHECKING:
    from kdgat.ops.serving import Scorer
    from kdgat.stages.detect import Detector, Verdict

_SHOWN = 80
_MOST_FAULTS = 10
_SEE = "GET /openapi.json describes every request, with examples"
_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No bearer token, or a wrong one"},
    413: {"model": Problem, "description": "A body beyond the bound"},
    422: {"model": Problem, "description": "What is wrong with the request, and where"},
    503: {"model": Problem, "description": "Too many streams or connections"},
}


def application(scorer: Scorer, streams: Streams | None = None) -> FastAPI:
    """What answers; who may ask, and how much, is checked around it."""
    about = scorer.about
    streams = Streams(scorer.detector) if streams is None else streams
    app = FastAPI(
        title="kdgat serve",
        version=version("kdgat"),
        description=f"Scores of windows of CAN messages, by {about.name} ({about.run_id}), "
        f"{about.protocol}.",
        # Their pages load scripts from other sites, and a browser sends no token.
        docs_url=None,
        redoc_url=None,
        responses=_ERRORS,
        dependencies=[Security(HTTPBearer(auto_error=False))],
    )

    @app.get("/health")
    def health() -> Health:
        """Say that the model is loaded and requests are answered."""
        return Health(run_id=about.run_id, streams=len(streams))

    @app.get("/model")
    def model() -> Model:
        """Say which run is served, and how it judges."""
        return Model(**asdict(about))

    @app.post("/score")
    def score(request: Request) -> Answer:
        """Score the windows that these messages complete, or whole windows.

        Without a stream each request is a capture of its own, as a file is to `kdgat detect`.
        """
        with labels_sealed():
            if request.stream is None:
                return _answered(request, scorer.detector(), scorer)
            with streams.turn(request.stream) as detector:
                return _answered(request, detector, scorer)

    @app.delete("/streams/{stream}")
    def close(stream: Annotated[str, Path(pattern=STREAM)]) -> Closed:
        """Forget a stream; the next messages under its name begin another."""
        return Closed(stream=stream, messages=streams.close(stream))

    _answer_errors(app)
    return app


def _answered(request: Request, detector: Detector, scorer: Scorer) -> Answer:
    about = scorer.about
    if request.has_windows:
        verdicts = detector.judge(_whole(request.windows, about.window_messages))
    else:
        verdicts = detector.take(arrays(request.messages))
        if request.stream is None and not verdicts:
            raise _too_short(detector, about.window_messages)
    return Answer(
        run_id=about.run_id,
        protocol=about.protocol,
        alarms=sum(each.alarm for each in verdicts),
        windows=[_judged(each) for each in verdicts],
        messages=detector.seen,
        learning=detector.learning,
    )


def _judged(verdict: Verdict) -> Judged:
    values = {name: getattr(verdict, name) for name in Judged.model_fields}
    return Judged(**{**values, "suspects": [vars(each) for each in verdict.suspects]})


def _whole(windows: Sequence[list[Message]], length: int) -> Any:
    """All windows' messages, one after the other.

    Raises:
        DataError: there is none, or one has another length.
    """
    if not windows:
        raise DataError("windows: there is none", hint=f"send windows of {length} messages")
    for number, each in enumerate(windows):
        if len(each) != length:
            raise DataError(
                f"windows.{number} has {len(each)} messages, and a window has {length}",
                hint="send 'messages' instead to have windows cut from them",
            )
    return arrays([message for window in windows for message in window])


def _too_short(detector: Detector, length: int) -> DataError:
    if detector.learning:
        return DataError(
            f"messages: all {detector.seen:,} are within the first {detector.prefix_s:g} s, which "
            "are taken for the vehicle's profile and not scored",
            hint="send longer captures, or name a 'stream' and send it in pieces",
        )
    return DataError(
        f"messages: {detector.seen:,} are too few for one window of {length} that is scored",
        hint="send longer captures, or name a 'stream' and send it in pieces",
    )


def _answer_errors(app: FastAPI) -> None:
    """One JSON form, `Problem`, whatever is wrong."""

    @app.exception_handler(RequestValidationError)
    def invalid(_: Any, error: RequestValidationError) -> JSONResponse:
        faults = [_fault(each) for each in error.errors()[:_MOST_FAULTS]]
        first = faults[0]
        said = f"{first.where}: {first.problem}" + (f"; it is {first.value}" if first.value else "")
        return _problem(422, said, _SEE, faults)

    @app.exception_handler(KdgatError)
    def refused(_: Any, error: KdgatError) -> JSONResponse:
        return _problem(404 if isinstance(error, RunError) else 422, error.problem, error.hint)

    @app.exception_handler(TooMany)
    def crowded(_: Any, __: TooMany) -> JSONResponse:
        problem = f"{MOST} streams are open, and each was asked lately"
        return _problem(503, problem, "close one by DELETE /streams/NAME")

    @app.exception_handler(HTTPException)
    def http(_: Any, error: HTTPException) -> JSONResponse:
        hint = "send less at once: a stream's pieces" if error.status_code == 413 else _SEE
        if error.status_code == 400:
            # What Python's own parser gives up on: nested too deeply, or a number too long.
            return _problem(422, "body: no JSON that can be read", hint)
        return _problem(error.status_code, str(error.detail), hint, headers=error.headers)

    @app.exception_handler(Exception)
    def unforeseen(_: Any, error: Exception) -> JSONResponse:
        return _problem(500, f"a defect of the server's: {type(error).__name__}", "see its log")


def _problem(
    status: int, error: str, hint: str, faults: Sequence[Fault] = (), headers: Any = None
) -> JSONResponse:
    body = Problem(error=error, hint=hint, faults=list(faults))
    return JSONResponse(body.model_dump(), status, headers)


def _fault(error: Any) -> Fault:
    """A fault as pydantic tells it, in characters that every answer can hold."""
    where = ".".join(map(str, error["loc"][1:])) or "body"
    problem = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "json_invalid":
        where, problem = "body", f"no JSON at character {error['loc'][-1]}: {error['ctx']['error']}"
    bare = error["type"] == "value_error" or error["input"] in ({}, None)
    value = "" if bare else _shown(error["input"])
    return Fault(where=ascii(where)[1:-1], value=value, problem=problem)


def _shown(value: Any) -> str:
    """The beginning of a value; of a collection only what it is, as it may be long or deep."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'an array'} of {len(value):,}"
    text = ascii(value[:_SHOWN] if isinstance(value, str | bytes) else value)
    return text if len(text) <= _SHOWN + 3 else text[:_SHOWN] + "..."
