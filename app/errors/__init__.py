"""The one tree of errors; the class says the code and the HTTP status, its docstring what the reader is told.

The docstring's first paragraph is the message, a second one says what would free the caller. Both may name
values in braces, which the raiser passes; the same values travel as extra members of the problem document.

A new error is one class in one of these modules: it is exported from here, has its row at /docs, and its place in the
tree that ``python -m app.errors`` draws.
"""

from __future__ import annotations

from app.errors.availability import *
from app.errors.conflicts import *
from app.errors.delivery import *
from app.errors.files import *
from app.errors.graphql import *
from app.errors.idempotency import *
from app.errors.identity import *
from app.errors.ledger import *
from app.errors.licensing import *
from app.errors.not_found import *
from app.errors.payments import *
from app.errors.prices import *
from app.errors.projects import *
from app.errors.providers import *
from app.errors.requests import *
from app.errors.root import *
from app.errors.settings import *
from app.errors.sign_in import *
from app.errors.startup import *

__all__ = [name for name, value in globals().items() if isinstance(value, type) and issubclass(value, PortalError)]
