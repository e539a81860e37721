"""The fields by which a project or an agent sets a value of its own: null or a blank inherits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from app.services.llm.setting_values import MAX_MODEL, MAX_PROMPT, PRINTABLE, MaxTokens, Temperature
from blueprints.web.fields import NO_NUL

INHERITS = "Null inherits."
INHERITS_BLANK = "Null or blank inherits."


def _null_if_blank(text: str | None) -> str | None:
    """A blank text sets nothing; any other stays as it is, blanks around it included."""
    return text if text and not text.isspace() else None


ProviderOverride = Annotated[
    Literal["gemini", "openai", "anthropic", ""] | None,
    AfterValidator(_null_if_blank),
    Field(description=f"The first provider to ask. {INHERITS_BLANK}"),
]
ModelOverride = Annotated[
    Annotated[str, Field(max_length=MAX_MODEL, pattern=PRINTABLE), AfterValidator(str.strip)] | None,
    AfterValidator(_null_if_blank),
    Field(description=f"The model of the provider that holds. {INHERITS_BLANK}"),
]
TemperatureOverride = Annotated[Temperature | None, Field(description=f"From 0 to 2. {INHERITS}")]
MaxTokensOverride = Annotated[MaxTokens | None, Field(description=f"From 64 to 8192. {INHERITS}")]
PromptOverride = Annotated[
    Annotated[str, Field(max_length=MAX_PROMPT, pattern=NO_NUL)] | None,
    AfterValidator(_null_if_blank),
    Field(description=f"At most {MAX_PROMPT:,} characters. {INHERITS_BLANK}"),
]
