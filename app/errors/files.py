"""Files of runs: the store that keeps them does not answer, or has lost one."""

from __future__ import annotations

from app.errors.availability import UnavailableError
from app.errors.root import PortalError


class FilesUnavailableError(UnavailableError):
    """The store of files does not answer.

    Try again in {retry_after} seconds; files that were stored are not lost.
    """

    code = "files_unavailable"


class FileDamagedError(PortalError):
    """The file {sha256} of the run {run_id} is missing from the store, or is not what was stored.

    Restore the store of files from its backup.
    """

    code = "file_damaged"
