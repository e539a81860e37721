"""The download of what a completed run has made."""

from __future__ import annotations

from typing import Final

from app.context import Context
from app.errors import DownloadGoneError, DownloadRefusedError
from app.services.projects.archive import Archive, ArchivedFile, archive_of
from app.services.projects.details import own_project
from app.services.runs.history import own_run
from app.services.runs.states import LEAST_QUALITY
from sql.statements import runs as statements

_NOT_COMPLETED: Final = {
    "pending": "it was never run",
    "running": "its run has not ended",
    "failed": "its last run was not completed",
    "paused": "it was never run",
}


async def own_download(ctx: Context, project_id: str) -> Archive:
    """The files of the newest run of a project of the tenant whose session asks, as a zip.

    Raises ProjectNotFoundError, DownloadRefusedError where that run was not completed well enough, DownloadGoneError
    where its files were removed.
    """
    project = await own_project(ctx, project_id)
    if project.run_id is None or project.execution_status != "completed":
        reason = _NOT_COMPLETED.get(project.execution_status, "it has no run")
        raise DownloadRefusedError(project_id=project_id, reason=reason, least=LEAST_QUALITY)
    quality = (await own_run(ctx, project_id, project.run_id)).run.figures.quality
    if quality < LEAST_QUALITY:
        reason = f"the quality of its run is {quality:g} %"
        raise DownloadRefusedError(project_id=project_id, reason=reason, least=LEAST_QUALITY)
    async with ctx.read() as conn:
        files = await conn.many(statements.files_of_run, ArchivedFile, tenant_id=ctx.tenant_id, run_id=project.run_id)
    if not files:
        raise DownloadGoneError(project_id=project_id, days=ctx.runtime.settings.run_files_retention_days)
    return archive_of(ctx, project.run_id, files, project_id=project.project_id, client_name=project.shown_name)
