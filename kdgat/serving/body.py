"""What goes in and out over HTTP, as types: the OpenAPI description is made of these."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, FailFast, Field, model_validator
from typing_extensions import TypedDict

from kdgat.data.windows import Messages

_MOST_TIME_S = 1e11
"""No clock shows it; a double still tells microseconds well below."""
_BYTES = 8
_EXAMPLE = {"time_s": 1436509052.249713, "arbitration_id": "316", "data": "2A366C2BBA000000"}
STREAM = r"^[A-Za-z0-9._-]{1,64}$"


class Message(TypedDict):
    """One classical CAN message."""

    __pydantic_config__ = ConfigDict(  # pyright: ignore[reportGeneralTypeIssues]
        extra="forbid", json_schema_extra={"examples": [_EXAMPLE]}
    )

    time_s: Annotated[
        float,
        Field(
            strict=True,
            ge=-_MOST_TIME_S,
            le=_MOST_TIME_S,
            allow_inf_nan=False,
            description="Seconds, on the sender's clock.",
        ),
    ]
    arbitration_id: Annotated[
        str,
        Field(
            pattern=r"^([01][0-9A-Fa-f]{7}|[0-9A-Fa-f]{1,7})$",
            description="In hexadecimal digits, up to 1FFFFFFF, as candump prints it.",
        ),
    ]
    data: Annotated[
        str,
        Field(
            pattern=r"^([0-9A-Fa-f]{2}){0,8}$",
            description="Up to eight bytes, two hexadecimal digits each, nothing between.",
        ),
    ]


Row = Annotated[list[Message], FailFast()]


class Request(BaseModel):
    """Messages in the order they came, or whole windows; one of the two."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"messages": [_EXAMPLE, {**_EXAMPLE, "time_s": 1436509052.250213}]},
                {"stream": "car-7", "messages": [_EXAMPLE]},
            ]
        },
    )

    messages: Row = Field(
        default=[],
        description="A capture from its first message on; with `stream`, what followed the "
        "messages before. Windows are cut from it as `kdgat detect` cuts them.",
    )
    windows: Annotated[list[Row], FailFast()] = Field(
        default=[],
        description="Windows of just `window_messages` messages, each scored by itself.",
    )
    stream: str | None = Field(
        default=None,
        pattern=STREAM,
        description="Goes on with what was sent under this name before; begins with the first.",
    )

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Request:
        given = sorted(self.model_fields_set & {"messages", "windows"})
        if len(given) != 1:
            has = " and ".join(given) or "neither"
            raise ValueError(f"needs 'messages' or 'windows', and has {has}")
        return self

    @property
    def has_windows(self) -> bool:
        """Whether it brings windows instead of messages."""
        return "windows" in self.model_fields_set


class SuspectId(BaseModel):
    """An arbitration id that stands out in an alarm's window."""

    id: str
    feature: str
    distance: float = Field(description="Standard deviations from benign traffic, with its sign.")


class Judged(BaseModel):
    """What the model says of one window."""

    window: int = Field(description="Its number, from 0 at the first message (or window) sent.")
    start_s: float = Field(description="Time of its first message.")
    end_s: float = Field(description="Time of its last message.")
    score: float
    threshold: float
    alarm: bool = Field(description="Whether the score is at the threshold or above.")
    reference: Literal["own", "borrowed", "unprofiled"] = Field(
        description="What it was measured against: its own vehicle's prefix, a training vehicle, "
        "or nothing."
    )
    suspects: list[SuspectId] = Field(description="Of an alarm, the most suspicious ids.")


class Answer(BaseModel):
    """The windows that a request completed."""

    run_id: str
    protocol: Literal["zero_shot", "adapted"]
    alarms: int = Field(description="Alarms among the windows.")
    windows: list[Judged]
    messages: int = Field(
        description="Messages taken so far, of a stream over all requests; those of whole windows "
        "are not counted."
    )
    learning: bool = Field(
        description="Whether all messages so far are of the prefix, which is never scored."
    )


class Model(BaseModel):
    """What is served, and how it judges."""

    run_id: str
    name: str
    dataset: str
    provenance: str
    config_digest: str
    seed: int
    teacher: str | None
    parameters: int
    protocol: Literal["zero_shot", "adapted"]
    prefix_s: float | None
    window_messages: int
    stride_messages: int
    threshold: str
    alpha: float
    thresholds: dict[str, float]


class Health(BaseModel):
    """That it answers."""

    status: Literal["ok"] = "ok"
    run_id: str
    streams: int = Field(description="Streams that are open.")


class Closed(BaseModel):
    """A stream that ended."""

    stream: str
    messages: int = Field(description="Messages that it took.")


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(description="Path within the body, such as messages.17.data.")
    value: str = Field(description="What is there, shortened.")
    problem: str


class Problem(BaseModel):
    """Why a request was not answered, and what to do."""

    error: str
    hint: str
    faults: list[Fault] = []


def arrays(messages: list[Message]) -> Messages:
    """The messages as a model takes them: payloads left-aligned, the first byte at the top."""
    count = len(messages)
    times = (each["time_s"] for each in messages)
    ids = (int(each["arbitration_id"], 16) for each in messages)
    lengths = (len(each["data"]) // 2 for each in messages)
    payloads = (int(each["data"].ljust(2 * _BYTES, "0"), 16) for each in messages)
    return Messages(
        np.fromiter(times, np.float64, count),
        np.fromiter(ids, np.uint32, count),
        np.fromiter(lengths, np.uint8, count),
        np.fromiter(payloads, np.uint64, count),
    )
