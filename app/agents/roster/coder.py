"""The coder: writes the code of the project, and adds learned templates that fit."""

from __future__ import annotations

from collections.abc import Sequence

from app.agents.agent import Agent
from app.agents.job import Job, LearnedTemplate, Outcome, PlannedTask
from app.agents.learned import fitting
from app.agents.specification import Specification
from app.agents.writing import LEARNED, learned_content, write, writing_tasks, written
from app.sandbox import Sandbox

_NAMES = {
    "records": "Write what is kept, and its storage",
    "rest_service": "Write the service",
    "command_line_tool": "Write the tool",
    "data_import": "Write the import",
}


def _tasks(spec: Specification, learned: Sequence[LearnedTemplate]) -> list[PlannedTask]:
    tasks = writing_tasks("coder", spec, _NAMES, priority=1)
    if additions := fitting(spec, learned):
        description = f"Add {', '.join(each.path for each in additions)}, as they were learned."
        tasks.append(PlannedTask(LEARNED, "coder", "Add learned templates", description, (), 3))
    return tasks


async def _work(job: Job, spec: Specification, sandbox: Sandbox | None) -> Outcome:
    if job.task.key != LEARNED:
        return await write(job, spec, sandbox)
    additions = fitting(spec, job.learned)
    files = {each.path: learned_content(each) for each in additions}
    return written(files, learned=[each.template.template_id for each in additions])


AGENT = Agent("Writes the code, and adds learned templates.", ("researcher",), _tasks, _work)
