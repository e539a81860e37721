"""What may be changed of a project, by its tenant and by operators, as models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.contract.fields import IS_NAME, blank_is_null
from app.money import MAX_USD, NANOS_PER_USD
from app.resolvers.inputs import Trimmed, read_changes
from app.services.llm.setting_values import MAX_MODEL, MaxTokens, Provider, Temperature
from app.services.projects.rules import MAX_CLIENT_NAME, MAX_DESCRIPTION, MAX_INSTRUCTIONS, MAX_NAME, PROJECT_ID
from sql.bounds import NO_NUL
from sql.tables.projects import MAX_PROJECT_ID

BlankIsNull = BeforeValidator(blank_is_null)
ClientName = Annotated[str, Field(max_length=MAX_CLIENT_NAME, pattern=NO_NUL), IS_NAME]
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION, pattern=NO_NUL)]
Instructions = Annotated[str, Field(max_length=MAX_INSTRUCTIONS, pattern=NO_NUL)]
ModelName = Annotated[str, Field(max_length=MAX_MODEL, pattern=NO_NUL)]


Priority = Literal["low", "normal", "high", "critical"]


class OperatorProject(BaseModel):
    """A new project of no tenant."""

    model_config = ConfigDict(extra="forbid", strict=True)

    project_id: Annotated[str, Field(min_length=1, max_length=MAX_PROJECT_ID, pattern=PROJECT_ID)]
    client_name: Annotated[str, Trimmed, Field(min_length=1, max_length=MAX_CLIENT_NAME, pattern=NO_NUL), IS_NAME]
    description: Annotated[Description | None, BlankIsNull] = None
    custom_instructions: Annotated[Instructions | None, BlankIsNull] = None
    is_active: bool = True
    priority: Priority = "normal"


class _Changes(BaseModel):
    """What either may change; what is absent stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    client_name: Annotated[ClientName | None, BlankIsNull] = None
    description: Annotated[Description | None, BlankIsNull] = None
    custom_instructions: Annotated[Instructions | None, BlankIsNull] = None
    is_active: bool = True


class OwnChanges(_Changes):
    """What a tenant may change."""

    name: Annotated[str, Trimmed, Field(min_length=1, max_length=MAX_NAME, pattern=NO_NUL), IS_NAME] = ""


class AnyChanges(_Changes):
    """What an operator may change; the budget is in 1e-9 USD."""

    priority: Priority = "normal"
    provider_override: Provider | None = None
    model_override: Annotated[ModelName | None, BlankIsNull] = None
    temperature_override: Temperature | None = None
    max_tokens_override: MaxTokens | None = None
    monthly_budget_override: Annotated[int, Field(ge=0, le=MAX_USD * NANOS_PER_USD)] | None = None


def changes_in(values: dict[str, Any], model: type[_Changes]) -> dict[str, Any]:
    """The columns that are to be changed, with their new values; raises ValidationError for what may not be."""
    changes = read_changes(values, model)
    return {name: getattr(changes, name) for name in type(changes).model_fields if name in changes.model_fields_set}
