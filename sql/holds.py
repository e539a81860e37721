"""Holds: until when somebody has something to itself, by a clock that may have been wrong."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, and_, bindparam, or_

from sql.tables.columns import Instant

# Whoever leaves ``latest`` out believes every clock.
_LATEST = bindparam("latest", None, type_=Instant)
_NOW = bindparam("now", type_=Instant)


def is_over(until: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Whether a hold has ended, or ends later than any does: its holder's clock stood ahead then."""
    return or_(until <= _NOW, until > _LATEST)


def is_on(until: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Whether a hold has not ended; false, and not null, where nobody holds."""
    return and_(until.is_not(None), until > _NOW, or_(until <= _LATEST, _LATEST.is_(None)))
