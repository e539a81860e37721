"""Documents of GraphQL that are not run."""

from __future__ import annotations

from app.errors.availability import RateLimitedError
from app.errors.requests import RequestError


class DocumentError(RequestError):
    """The document cannot be run: {reason}.

    Compare it with the schema: portal sdl prints it.
    """

    code = "graphql_invalid"


class DocumentTooLargeError(RequestError):
    """The document has more than {limit} {what}.

    Ask in several requests.
    """

    code = "graphql_too_large"


class DocumentTooCostlyError(RequestError):
    """The document could answer {cost} objects, and a request may ask for {limit}.

    Ask for fewer at a time: smaller limits, or several requests.
    """

    code = "graphql_too_costly"


class CostBudgetError(RateLimitedError):
    """The requests of this minute have asked for {limit} objects, which is all that they may.

    Wait {retry_after} seconds, then try again; ask for fewer objects or less often.
    """


class PersistedDocumentNotFoundError(RequestError):
    """PersistedQueryNotFound

    Send the document together with its hash once.
    """  # noqa: D400, D415 - clients compare the text

    code = "persisted_query_not_found"


class PersistedDocumentWrongError(RequestError):
    """The hash is not the SHA-256 of the document, or neither of them was sent.

    Send the document, or extensions.persistedQuery with version 1 and sha256Hash in hexadecimal digits.
    """

    code = "persisted_query_wrong"


class QueryOverGetError(RequestError):
    """GET runs queries only.

    Send this by POST.
    """

    code = "graphql_get_reads_only"
    status = 405


class MediaTypeError(RequestError):
    """The body must be application/json.

    Send the header Content-Type: application/json.
    """

    code = "unsupported_media_type"
    status = 415
