"""The fields of a project as requests bring them and answers show them, for operators and for its tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field

from app.contract.camel import CAMEL
from app.money import to_usd
from app.services.figures.totals import Total
from app.services.projects.details import AgentPrompt, Project
from app.services.projects.rules import MAX_CLIENT_NAME, MAX_DESCRIPTION, MAX_INSTRUCTIONS
from blueprints.web.fields import IS_NAME, NO_NUL, blank_is_null, trimmed

PROJECT_ID_IN_PATH = {"project_id": "The project's id."}
CLEARED = "Null or blank clears it."
Search = Annotated[
    str,
    Field(
        max_length=200,
        pattern=NO_NUL,
        description="A part of the id, a name, the description or the objectives, in any case.",
    ),
]
ClientNameText = Annotated[str, Field(max_length=MAX_CLIENT_NAME, pattern=NO_NUL), IS_NAME]
DescriptionText = Annotated[str, Field(max_length=MAX_DESCRIPTION, pattern=NO_NUL)]
InstructionsText = Annotated[str, Field(max_length=MAX_INSTRUCTIONS, pattern=NO_NUL)]
ClientName = Annotated[
    ClientNameText | None,
    BeforeValidator(blank_is_null),
    Field(description=f"The client's name for it; without one, its own name is shown. {CLEARED}"),
]
Description = Annotated[
    DescriptionText | None,
    BeforeValidator(blank_is_null),
    Field(description=f"What it is about; without one, the objectives are shown. {CLEARED}"),
]
Instructions = Annotated[
    InstructionsText | None,
    BeforeValidator(blank_is_null),
    Field(description=f"What is to be reached: its objectives. {CLEARED}"),
]
RequiredClientName = Annotated[
    str, BeforeValidator(trimmed), Field(min_length=1, max_length=MAX_CLIENT_NAME, pattern=NO_NUL), IS_NAME
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPromptAnswer:
    """What differs for one kind of agent; null means that the project's value is used."""

    __pydantic_config__ = CAMEL
    agent_type: str
    provider_override: str | None
    model_override: str | None
    temperature_override: float | None
    max_tokens_override: int | None
    custom_prompt: str | None
    custom_instructions: str | None
    enabled: bool
    updated_at: datetime

    @classmethod
    def of(cls, prompt: AgentPrompt) -> Self:
        """The answer about the settings of one kind of agent."""
        members = prompt._asdict()
        del members["project_id"]
        return cls(**members)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectAnswer:
    """A project; an override that is null inherits the system's value."""

    __pydantic_config__ = CAMEL
    project_id: str
    name: str
    client_name: Annotated[str, Field(description="The client's name for it, or else its own name.")]
    description: Annotated[str | None, Field(description="The description, or else the objectives.")]
    custom_instructions: Annotated[str | None, Field(description="The objectives.")]
    is_active: bool
    priority: str
    provider_override: str | None
    model_override: str | None
    temperature_override: float | None
    max_tokens_override: int | None
    monthly_budget_override: Annotated[float | None, Field(description="In USD.")]
    activation_code_id: int | None
    execution_status: str
    show_completion_modal: bool
    tenant_id: int | None
    tenant_name: str | None
    tenant_slug: str | None
    created_at: datetime
    updated_at: datetime
    agent_prompts: list[AgentPromptAnswer]

    @classmethod
    def of(cls, project: Project, **more: Any) -> Self:
        """The answer about a project, with the members that an answer like it has besides."""
        members = project._asdict()
        for hidden in ("id", "subscription_state", "version", "run_id"):
            del members[hidden]
        budget = project.monthly_budget_override
        shown = {
            "client_name": project.shown_name,
            "description": project.shown_description,
            "monthly_budget_override": None if budget is None else to_usd(budget),
            "agent_prompts": [AgentPromptAnswer.of(prompt) for prompt in project.agent_prompts],
        }
        return cls(**{**members, **shown}, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectPager:
    """Which page it is, and how many there are; where the total is capped, there are more."""

    __pydantic_config__ = CAMEL
    total: int
    total_is_capped: bool
    page: int
    page_size: int
    total_pages: int
    # The same once more, as the front end of tenants reads it.
    page_size_named: Annotated[int, Field(serialization_alias="page_size")]
    total_pages_named: Annotated[int, Field(serialization_alias="total_pages")]


def pager(total: Total, page: int, page_size: int) -> dict[str, Any]:
    """The members of a pager."""
    pages = total.pages(page_size)
    return {
        "total": total.total,
        "total_is_capped": total.is_capped,
        "page": page,
        "page_size": page_size,
        "total_pages": pages,
        "page_size_named": page_size,
        "total_pages_named": pages,
    }
