"""Pages: what answers a GET, a HEAD or, where it says so, a POST, and the tree that they hang in.

Every answer that leaves here says what it is, is never stored by a cache, and is never taken for
anything else by a browser: also the one to a path that is not there.
"""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

_log = Logger()

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"


class Answer(NamedTuple):
    """What is sent back."""

    body: bytes
    content_type: str
    status: HTTPStatus = HTTPStatus.OK


Reply = Callable[[IRequest], Answer | Deferred[Answer]]
"""Answers one request, at once or later."""


def json_answer(value: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """Return an answer with a JSON object."""
    return Answer(json.dumps(value, allow_nan=False).encode() + b"\n", JSON, status)


def text_answer(text: str, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """Return an answer with one line of text."""
    return Answer(text.encode() + b"\n", TEXT, status)


class Page(Resource):
    """One page, and those below it.

    Args:
        reply: answers for this page.
        below: the pages below it, by the next segment of the path.
        post: answers a POST; None refuses it.
    """

    def __init__(
        self,
        reply: Reply,
        below: Mapping[bytes, Resource] | None = None,
        post: Reply | None = None,
    ) -> None:
        super().__init__()
        self._replies = {b"GET": reply, b"HEAD": reply}
        if post is not None:
            self._replies[b"POST"] = post
        for segment, page in (below or {}).items():
            self.putChild(segment, page)

    def getChild(
        self,
        path: bytes,
        request: IRequest,  # noqa: ARG002 - the interface's
    ) -> Resource:
        """Return this page itself for a slash at its end, and a short refusal for all else."""
        return Page(_not_found) if path else self

    def render(self, request: IRequest) -> bytes | int:
        """Answer a request."""
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        reply = self._replies.get(request.method)
        if reply is None:
            request.setHeader(b"Allow", b", ".join(self._replies))
            only = b" and ".join(self._replies).decode()
            return _body(request, text_answer(f"{only} only", HTTPStatus.METHOD_NOT_ALLOWED))
        answer = reply(request)
        if not isinstance(answer, Deferred):
            return _body(request, answer)
        Deferred.fromCoroutine(_finish(request, answer))
        return NOT_DONE_YET


async def _finish(request: Any, coming: Deferred[Answer]) -> None:
    gone: Deferred[None] = request.notifyFinish()
    gone.addErrback(lambda _: coming.cancel())
    try:
        answer = await coming
    except CancelledError:
        return
    except Exception:
        _log.failure("a page cannot be shown")
        answer = text_answer("this cannot be shown", HTTPStatus.INTERNAL_SERVER_ERROR)
    request.write(_body(request, answer))
    request.finish()


def _body(request: IRequest, answer: Answer) -> bytes:
    request.setResponseCode(answer.status)
    request.setHeader(b"Content-Type", answer.content_type.encode())
    request.setHeader(b"Content-Length", str(len(answer.body)).encode())
    # twisted.web would drop the body itself, but write a warning into the log each time.
    return b"" if request.method == b"HEAD" else answer.body


def _not_found(_: IRequest) -> Answer:
    return text_answer("not found", HTTPStatus.NOT_FOUND)
