"""Logging: one event per line, as JSON or in colour for a terminal, never with a secret."""

from __future__ import annotations

import logging
import logging.config
import sys
from typing import Any

import orjson
import structlog
import structlog.tracebacks
from structlog.typing import EventDict

from app.settings import Settings
from app.telemetry.request_address import without_address

# The end of Sanic's error about a request that was answered before its body was read; Sanic then discards the body.
UNREAD_BODY = " body not consumed."
# Libraries whose routine records nobody needs, except at the level debug.
TALKATIVE_LOGGERS = ("alembic", "dbos", "sanic.server")
# Libraries whose records below warnings contain secrets, so they are never logged.
CAPPED_LOGGERS = (
    # Prompts, and the headers of requests to providers of models.
    "anthropic",
    "google_genai",
    "openai",
    # Each statement with its parameters: addresses, hashes, sealed answers and keys.
    "aiosqlite",
    # Response headers: cookies, and the URLs of redirects.
    "httpcore2",
    # The URL of each request; the message provider's may contain a password.
    "httpx2",
    # The URL of each request, or of one whose client has disconnected: it may contain a sign-in link or a refresh
    # token.
    "sanic.access",
    "sanic.root",
    # The rows of results.
    "sqlalchemy",
    # What is posted: names and addresses of customers.
    "stripe",
)


def _is_ours_to_log(record: logging.LogRecord) -> bool:
    """Whether to log an error of the framework; the one about an unread body is dropped.

    Its text contains the URL, which may be a sign-in link, and anybody could flood the log with preflight requests that
    have a body.
    """
    return not str(record.msg).endswith(UNREAD_BODY)


class _WithoutAddress(structlog.stdlib.ProcessorFormatter):
    """Leaves out of each line what may be secret in the address that is answered meanwhile.

    For lines that people read: whoever asks chooses the address, and could take the names and signs out of JSON.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return without_address(super().format(record))


def _hide_address(_: object, __: str, event: EventDict) -> EventDict:
    """The same for JSON, whose values alone are looked at, and of our own events not their name."""
    kept = {"event"} if event["_from_structlog"] else set()
    return {name: value if name in kept else _hidden(value) for name, value in event.items()}


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _hidden(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(member) for member in value]
    return without_address(value) if isinstance(value, str) else value


def library_level(level: str) -> int:
    """The log level of libraries whose records contain no secrets, for this level of the portal's own log."""
    return logging.DEBUG if level == "debug" else max(getattr(logging, level.upper()), logging.WARNING)


def configure_logging(settings: Settings, *, level: str | None = None) -> None:
    """Write the log events of the portal and of libraries in one format to standard error."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    level = level or settings.log_level
    threshold = getattr(logging, level.upper())
    common: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks without local variables, which may contain codes and tokens.
    renderers: list[Any] = (
        [
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            _hide_address,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(serializer=_json),
        ]
        if as_json
        else [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    formatter = structlog.stdlib.ProcessorFormatter if as_json else _WithoutAddress
    handler.setFormatter(formatter(foreign_pre_chain=common, processors=renderers))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(threshold)
    for name in (*TALKATIVE_LOGGERS, *CAPPED_LOGGERS):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(library_level(level) if name in TALKATIVE_LOGGERS else max(threshold, logging.WARNING))
    logging.getLogger("sanic.error").addFilter(_is_ours_to_log)
    structlog.configure(
        processors=[*common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _json(event: dict[str, Any], **options: Any) -> str:
    return orjson.dumps(event, default=_text).decode()


def _text(value: object) -> str:
    return without_address(str(value))
