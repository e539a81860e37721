"""Logs: one event a line, as JSON for machines or in colour for a terminal, never with a secret."""

from __future__ import annotations

import logging
import logging.config
import sys
from typing import Any

import orjson
import structlog
import structlog.tracebacks

from app.settings import Settings

# Sanic says so of a request that was answered before its body was looked at, and then reads and drops the body itself.
UNREAD_BODY = " body not consumed."
# What these say of every day nobody needs to read, unless everything was asked for.
TALKATIVE_LOGGERS = ("alembic", "dbos", "sanic.server")
# And what these say, warnings apart, nobody may ever read.
CAPPED_LOGGERS = (
    # Each statement with its parameters: addresses, hashes, sealed answers and keys.
    "aiosqlite",
    # The headers of answers: cookies, and redirects with whatever stands in them.
    "httpcore2",
    # Each address that is asked, and the message provider's holds its password.
    "httpx2",
    # The address of each request, and of one whose caller has hung up: it may hold a sign-in link or a refresh token.
    "sanic.access",
    "sanic.root",
    # The rows that come back, whatever stands in them.
    "sqlalchemy",
)


def _is_ours_to_log(record: logging.LogRecord) -> bool:
    """Whether an error of the framework is one.

    What it says of a body that nobody reads names the address, which may hold a sign-in link, and anybody could fill
    the log with preflights that bring one.
    """
    return not str(record.msg).endswith(UNREAD_BODY)


def library_level(level: str) -> int:
    """From which level on a library is heard that tells no secrets, where ours is this."""
    return logging.DEBUG if level == "debug" else max(getattr(logging, level.upper()), logging.WARNING)


def configure_logging(settings: Settings, *, level: str | None = None) -> None:
    """Send our log events and the libraries' through one format to standard error."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    chosen = level or settings.log_level
    threshold = getattr(logging, chosen.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Never the local variables of a traceback: they hold codes and tokens.
    rendering: list[Any] = (
        [
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(serializer=_json),
        ]
        if as_json
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(threshold)
    for name in (*TALKATIVE_LOGGERS, *CAPPED_LOGGERS):
        of_library = logging.getLogger(name)
        of_library.handlers = []
        of_library.propagate = True
        of_library.setLevel(library_level(chosen) if name in TALKATIVE_LOGGERS else max(threshold, logging.WARNING))
    logging.getLogger("sanic.error").addFilter(_is_ours_to_log)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _json(event: dict[str, Any], **options: Any) -> str:
    return orjson.dumps(event, default=str).decode()
