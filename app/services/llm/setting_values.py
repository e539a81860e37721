"""The values that settings may have: each kind with its bounds, which its description tells."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from app.errors import ValidationError
from app.money import Usd, to_nanos
from sql.bounds import NO_NUL
from sql.tables.llm import AGENT_TYPES

MAX_MODEL = 100
MAX_PROMPT = 100_000
# A model's name is printable ASCII at every provider.
PRINTABLE = "^[ -~]*$"
MODEL_NAME = "^ *[!-~][ -~]*$"


Provider = Literal["gemini", "openai", "anthropic"]
ProviderName = Annotated[Provider, Field(description="gemini, openai or anthropic")]
ModelName = Annotated[
    str,
    Field(max_length=MAX_MODEL, pattern=MODEL_NAME, description=f"1 to {MAX_MODEL} printable ASCII characters"),
    AfterValidator(str.strip),
]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False, description="a number from 0 to 2")]
MaxTokens = Annotated[int, Field(ge=64, le=8192, description="a whole number from 64 to 8192")]
Retries = Annotated[int, Field(ge=0, le=5, description="a whole number from 0 to 5")]
Switch = Annotated[bool, Field(description="true or false")]
Score = Annotated[int, Field(ge=0, le=100, description="a whole number from 0 to 100")]
Prompt = Annotated[
    str, Field(max_length=MAX_PROMPT, pattern=NO_NUL, description=f"a text of at most {MAX_PROMPT} characters")
]


class SystemValues(BaseModel):
    """A value for each of the system's settings; money is in USD."""

    primary_provider: ProviderName
    secondary_provider: ProviderName
    tertiary_provider: ProviderName
    gemini_model: ModelName
    openai_model: ModelName
    anthropic_model: ModelName
    temperature: Temperature
    max_tokens: MaxTokens
    retries_per_provider: Retries
    monthly_budget: Usd
    daily_budget: Usd
    template_learning_enabled: Switch
    cross_validation_enabled: Switch
    cache_enabled: Switch
    min_quality_score: Score
    template_min_quality: Score
    system_prompt: Prompt

    def as_stored(self) -> dict[str, Any]:
        """The values as columns hold them: money in 1e-9 USD."""
        values = {name: getattr(self, name) for name in SystemValues.model_fields}
        return {name: to_nanos(Decimal(str(value))) if name in MONEY else value for name, value in values.items()}


# The settings that are money, of the system and of projects.
MONEY = frozenset({"monthly_budget", "daily_budget", "monthly_budget_override"})


def agent_type_named(text: str, field: str = "agent_type") -> str:
    """The type of agent, whatever its letter case and the blanks around it; raises ValidationError for any other."""
    if (agent_type := text.strip().lower()) not in AGENT_TYPES:
        raise ValidationError.of(field, f"must be one of {', '.join(AGENT_TYPES)}", kind="unknown_agent_type")
    return agent_type
