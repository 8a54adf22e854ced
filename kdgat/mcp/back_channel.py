"""What a tool says to its client from its thread: how far it is, and a question to the user.

In the newest protocol a server asks by answering with the question; the client then makes the call
again and brings the user's answer along. Older clients are asked while the call waits.
"""

from __future__ import annotations

import hashlib
import logging
import time
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio.from_thread

if TYPE_CHECKING:
    from mcp.server.mcpserver.context import Context
    from mcp_types import InputRequiredResult

_log = logging.getLogger(__name__)
_KEY = "confirm"
_EVERY_S = 0.2
_NO_FIELDS: dict[str, Any] = {"type": "object", "properties": {}}
"""To accept or to decline is the whole answer."""


class Asking(Exception):
    """The tool waits for an answer that its client brings with the next call."""

    def __init__(self, question: str) -> None:
        super().__init__(question)
        self.question = question


class ProgressToClient:
    """A `Progress` that notifies the client, a few times a second at most.

    The protocol wants numbers that only grow, so what follows a finished part counts on from it.
    """

    def __init__(self, context: Context[Any, Any]) -> None:
        self._context = context
        self._before = 0
        self._part = ("", 0, 0)
        self._told = (-1, 0.0)

    def __call__(self, what: str, done: int, total: int) -> None:
        name, last, of = self._part
        if last and (what != name or done < last):
            self._before += max(last, of)
        self._part = (what, done, total)
        count, then = self._before + done, self._told[1]
        now = time.monotonic()
        if count <= self._told[0] or (now - then < _EVERY_S and done < total):
            return
        self._told = (count, now)
        # Work that began is ended, whether its client still listens or not.
        with suppress(RuntimeError, CancelledError):
            anyio.from_thread.run(
                self._context.report_progress, count, self._before + max(total, done), what
            )


class ConfirmByClient:
    """A `Confirm` that asks through the client."""

    def __init__(self, context: Context[Any, Any]) -> None:
        self._context = context

    def __call__(self, question: str) -> bool:
        if _asks_by_answering(self._context):
            return self._brought(question)
        try:
            return anyio.from_thread.run(self._ask, question).action == "accept"
        except Exception as error:
            # The client has gone, refused to ask, or answered nonsense: none of them is a yes.
            _log.warning("the user could not be asked (%s)", type(error).__name__)
            return False

    def _brought(self, question: str) -> bool:
        answers = self._context.input_responses or {}
        # The state says which question was shown: an answer to another one is no answer.
        if self._context.request_state != _digest(question) or _KEY not in answers:
            raise Asking(question)
        return getattr(answers[_KEY], "action", None) == "accept"

    async def _ask(self, question: str) -> Any:
        return await self._context.session.elicit_form(
            question, _NO_FIELDS, related_request_id=self._context.request_id
        )


def confirm_of(context: Context[Any, Any]) -> ConfirmByClient | None:
    """How to ask this client's user; None where the client can't."""
    capabilities = context.client_capabilities
    asked = capabilities.elicitation if capabilities is not None else None
    # A bare `elicitation: {}` means forms, as it did before there were other kinds.
    if asked is None or (asked.form is None and asked.url is not None):
        return None
    if not _asks_by_answering(context) and not context.session.can_send_request:
        return None
    return ConfirmByClient(context)


def asked(question: str) -> InputRequiredResult:
    """The answer that holds a question to the user."""
    from mcp_types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult

    params = ElicitRequestFormParams(message=question, requested_schema=_NO_FIELDS)
    return InputRequiredResult(
        input_requests={_KEY: ElicitRequest(params=params)}, request_state=_digest(question)
    )


def _asks_by_answering(context: Context[Any, Any]) -> bool:
    from mcp_types.version import MODERN_PROTOCOL_VERSIONS

    return context.protocol_version in MODERN_PROTOCOL_VERSIONS


def _digest(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()
