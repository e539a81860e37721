"""The doctor's check of the store of files: a small file is written, read and deleted."""

from __future__ import annotations

from app.commands.check_result import CheckResult
from app.errors import FileDamagedError, FilesUnavailableError
from app.providers.artifacts import FOLDER, Artifacts, first_line
from app.settings import Settings

CHECK = "artifacts"


async def file_store(settings: Settings) -> CheckResult:
    """Whether files of runs can be stored, read and deleted where the settings say."""
    place = settings.artifacts_url or str(settings.state_dir.absolute() / FOLDER)
    artifacts = Artifacts(settings)
    try:
        await artifacts.check()
    except FilesUnavailableError as failure:
        detail = f"files cannot be kept at {place}: {first_line(failure.__cause__)} (PORTAL_ARTIFACTS_URL)"
        return CheckResult(CHECK, "failure", detail)
    except FileDamagedError:
        detail = f"{place} answers another file than was stored; no file is safe there (PORTAL_ARTIFACTS_URL)"
        return CheckResult(CHECK, "failure", detail)
    finally:
        artifacts.close()
    return CheckResult(CHECK, "ok", f"files are written, read and deleted at {place}")
