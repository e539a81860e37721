"""Projects: what is wrong with one, and why it may not be made, changed or run."""

from __future__ import annotations

from collections.abc import Iterable

from app.errors.conflicts import ConflictError
from app.errors.licensing import CodeError, DeniedError
from app.errors.root import PortalError


class ProjectNotFoundError(PortalError):
    """There is no project {project_id}.

    List the projects to see their ids.
    """

    code = "project_not_found"
    status = 404


class ProjectConflictError(PortalError):
    """Project with ID {project_id} already exists.

    Choose another id.
    """

    code = "project_conflict"
    status = 400


class ProjectIncompleteError(PortalError):
    """The project lacks: {missing}.

    Say what it is about and what is to be reached.
    """

    code = "project_incomplete"
    status = 400

    def __init__(self, *, fields: Iterable[str]) -> None:
        names = list(fields)
        super().__init__(missing=", ".join(names), fields=names)


class ProjectRunningError(ConflictError):
    """The project {project_id} is running.

    Cancel its run first, or delete it once that has ended.
    """

    code = "project_running"


class ProjectWithoutTenantError(PortalError):
    """The project belongs to no tenant, and only a tenant's project can be run.

    Let the tenant create the project; its settings can be made the same.
    """

    code = "project_without_tenant"
    status = 400


class ProjectWithoutCodeError(PortalError):
    """The project has no activation code.

    Assign one of the tenant's codes to it.
    """

    code = "project_without_code"
    status = 400


class NotYetRunError(PortalError):
    """The project {project_id} has not been run yet.

    Start it, then ask again.
    """

    code = "not_yet_run"
    status = 404


class ProjectHasCodeError(CodeError):
    """The project has an activation code already.

    It needs no other one: a project keeps its code.
    """

    code = "project_has_code"


class TrialProjectLimitError(DeniedError):
    """A trial allows one project, and the tenant has one.

    Delete that project, or subscribe to a plan.
    """

    code = "trial_project_limit"


class TrialRunLimitError(DeniedError):
    """A trial runs one project at a time, and another one is running.

    Wait until that run has ended, cancel it, or subscribe to a plan.
    """

    code = "trial_run_limit"


class RunInProgressError(ConflictError):
    """The project {project_id} is running already.

    Watch its run, wait until it has ended, or cancel it.
    """

    code = "run_in_progress"


class ProjectCompletedError(ConflictError):
    """The project {project_id} is completed, and what is completed is not run again.

    Download what it has made, or create another project.
    """

    code = "project_completed"


class RestartRefusedError(PortalError):
    """The project is {status}, and only one whose run has failed is restarted.

    {way_out}
    """

    code = "restart_refused"
    status = 400


class RunNotFoundError(PortalError):
    """The project {project_id} has no run {run_id}.

    List its runs to see their ids.
    """

    code = "run_not_found"
    status = 404


class UnknownRunError(PortalError):
    """There is no run {run_id}.

    List the runs to see their ids.
    """

    code = "run_not_found"
    status = 404


class TaskNotFoundError(PortalError):
    """There is no task {task_id}.

    List the tasks to see their ids.
    """

    code = "task_not_found"
    status = 404


class TaskEndedError(ConflictError):
    """The task {task_id} cannot become {status}: {reason}.

    Only a task of a run that is going on, and that has not ended itself, can be changed; an agent alone can begin it.
    """

    code = "task_ended"


class NothingRunsError(ConflictError):
    """The project {project_id} is not running.

    There is nothing to cancel.
    """

    code = "nothing_runs"


class DownloadRefusedError(PortalError):
    """The project {project_id} cannot be downloaded: {reason}.

    Only a run that was completed with a quality of {least:g} % or more leaves a download.
    """

    code = "download_refused"
    status = 400


class DownloadGoneError(PortalError):
    """The files of project {project_id} are not kept any more.

    They are removed {days} days after the end of a run.
    """

    code = "download_gone"
    status = 404
