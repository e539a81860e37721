"""Settings for language models that are not there."""

from __future__ import annotations

from app.errors.root import PortalError


class AgentSettingsNotFoundError(PortalError):
    """The project {project_id} has no settings of its own for the agent {agent_type}.

    The agent uses the project's; PUT gives it its own.
    """

    code = "agent_settings_not_found"
    status = 404
