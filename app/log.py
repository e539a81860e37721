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
QUIET_LOGGERS = ("dbos", "sanic.root", "sanic.access", "sanic.server", "aiosqlite", "httpx2", "httpcore2", "alembic")


def _is_ours_to_log(record: logging.LogRecord) -> bool:
    """Whether an error of the framework is one.

    What it says of a body that nobody reads names the address, which may hold a sign-in link, and anybody could fill
    the log with preflights that bring one.
    """
    return not str(record.msg).endswith(UNREAD_BODY)


def configure_logging(settings: Settings, *, level: str | None = None) -> None:
    """Send our log events and the libraries' through one format to standard error."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    threshold = getattr(logging, (level or settings.log_level).upper())
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
    for name in QUIET_LOGGERS:
        quiet = logging.getLogger(name)
        quiet.handlers = []
        quiet.propagate = True
        quiet.setLevel(max(threshold, logging.WARNING))
    logging.getLogger("sanic.error").addFilter(_is_ours_to_log)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _json(event: dict[str, Any], **options: Any) -> str:
    return orjson.dumps(event, default=str).decode()
