"""The one place that turns an error into an answer: RFC 9457 problem details that both front ends can read."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import structlog
from sanic import Request, exceptions
from sanic.handlers import ErrorHandler
from sanic.response import HTTPResponse

from app import errors
from app.database.failures import cause_of
from app.errors import PortalError
from blueprints.web.answer_headers import finish
from blueprints.web.answers import Answer
from blueprints.web.bodies import request_id_of
from blueprints.web.cors import TEXT, options

# Nobody is there to read it: the caller hung up before the answer.
CLIENT_GONE = 499
PROBLEM_TYPE = "application/problem+json"

log = structlog.get_logger(__name__)


# What is not the caller's fault and told all the same, because somebody can do something about it.
TOLD = (errors.UnavailableError, errors.PaymentsRefusedError, errors.PaymentsNotConfiguredError)


def problem(error: PortalError, request_id: str, headers: dict[str, str] | None = None) -> HTTPResponse:
    """The problem document of an error, with the headers its status calls for."""
    detail: Any = error.detail
    listed: dict[str, Any] = {}
    if isinstance(error, errors.ValidationError):
        # What no operation has placed came with a form.
        wrong = [
            {"type": field.kind, "loc": [field.place or "body", *field.path], "msg": field.message}
            for field in error.fields
        ]
        detail, listed = (detail if error.is_told_in_sentences else wrong), {"errors": wrong}
    body: dict[str, Any] = {
        "type": f"/docs#error-{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": detail,
        "errorCode": error.code,
        "message": error.message,
        "requestId": request_id,
        **listed,
    }
    if error.remedy:
        body["remedy"] = error.remedy
    body |= {name: value for name, value in error.values.items() if name not in body and value is not None}
    sent = problem_headers(error) | (headers or {})
    return Answer(orjson.dumps(body, default=str), request_id, status=error.status, media_type=PROBLEM_TYPE, more=sent)


def problem_headers(error: PortalError) -> dict[str, str]:
    """The headers that the status of an error calls for."""
    sent: dict[str, str] = {}
    if error.status == 401:
        sent["www-authenticate"] = 'Bearer realm="addon-portal"'
    if (retry_after := error.values.get("retry_after")) is not None:
        sent["retry-after"] = str(retry_after)
    if isinstance(error, errors.RateLimitedError):
        sent |= {"ratelimit-remaining": "0", "ratelimit-reset": str(retry_after)}
        if (limit := error.values.get("limit")) is not None:
            sent["ratelimit-limit"] = str(limit)
    return sent


def problem_of(request: Request, request_id: str, failure: BaseException) -> HTTPResponse:
    """The problem document of anything that was raised; what is our fault is logged and told without its insides."""
    if isinstance(failure, asyncio.CancelledError):
        return HTTPResponse(b"", CLIENT_GONE, content_type=TEXT)
    if isinstance(failure, PortalError) and failure.status < 500:
        return problem(failure, request_id)
    if isinstance(failure, TOLD):
        log.warning(
            "unavailable", code=failure.code, cause=cause_of(failure), path=_place(request), request_id=request_id
        )
        return problem(failure, request_id)
    if isinstance(failure, exceptions.SanicException):
        error, headers = _of_framework(request, failure)
        if error.status < 500 or isinstance(error, errors.UnavailableError):
            return problem(error, request_id, headers)
    log.error("request_failed", path=_place(request), request_id=request_id, exc_info=failure)
    return problem(PortalError(), request_id)


def _place(request: Request) -> str:
    """The route, and nothing where there is none: an address may hold a sign-in link."""
    return f"/{request.route.path}" if request.route else ""


class ProblemHandler(ErrorHandler):
    """Answers what no handler of ours has answered: unknown addresses, wrong methods, requests that never arrived."""

    def default(self, request: Request, exception: Exception) -> HTTPResponse:
        """The framework's errors in our words; a browser that asks before it calls has found no handler either."""
        request_id = request_id_of(request)
        if request.method == "OPTIONS" and isinstance(exception, exceptions.NotFound | exceptions.MethodNotAllowed):
            allowed = str(exception.headers.get("Allow", "")) or None
            if (answer := options(request, allowed)) is not None:
                answer.headers["x-request-id"] = request_id
                return answer
        return finish(request, problem_of(request, request_id, exception))


def _of_framework(request: Request, failure: exceptions.SanicException) -> tuple[PortalError, dict[str, str]]:
    if isinstance(failure, exceptions.MethodNotAllowed):
        return errors.MethodNotAllowedError(method=request.method), {"allow": str(failure.headers.get("Allow", ""))}
    if isinstance(failure, exceptions.NotFound):
        return errors.NotFoundError(), {}
    if isinstance(failure, exceptions.PayloadTooLarge):
        return errors.PayloadTooLargeError(limit=request.app.ctx.runtime.settings.request_max_bytes), {
            "connection": "close"
        }
    if isinstance(failure, exceptions.RequestTimeout):
        return errors.RequestTimeoutError(), {"connection": "close"}
    if isinstance(failure, exceptions.ServiceUnavailable):
        return errors.UnavailableError(), {"connection": "close"}
    return (errors.RequestError() if failure.status_code < 500 else PortalError()), {}
