"""Settings for language models, from the command line: what is set, what holds, and setting one value."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import pydantic
from cyclopts import Parameter
from pydantic import TypeAdapter
from pydantic.alias_generators import to_snake

from app.commands.output import MISUSED, CommandFailedError, answer, escape, table
from app.commands.parameters import AsJson
from app.commands.session import operating
from app.services.llm.effective import EffectiveSettings, explained_settings
from app.services.llm.setting_values import SystemValues
from app.services.llm.system_settings import SystemSettings, system_settings, update_system_settings


async def settings(
    *,
    project: Annotated[str | None, Parameter(help="What holds in this project, each value with its source.")] = None,
    agent: Annotated[str | None, Parameter(help="And there for this type of agent.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the system's settings, or those that hold in a project; money is in USD."""
    if agent is not None and project is None:
        raise CommandFailedError("usage", "--agent needs --project. See: portal llm settings --help", MISUSED)
    async with operating() as ctx:
        if project is None:
            stored = await system_settings(ctx)
            values = _in_usd(stored)
            rows = [(name, _text(value)) for name, value in values.items()]
            answer(as_json, {**values, "version": stored.version}, table(("setting", "value"), rows))
        else:
            effective = await explained_settings(ctx, project, agent)
            _show(as_json, project, effective)


def _show(as_json: bool, project: str, effective: EffectiveSettings) -> None:
    values = TypeAdapter(EffectiveSettings).dump_python(effective, mode="json", by_alias=False)
    shown = {name: value for name, value in values.items() if isinstance(value, dict) and "source" in value}
    rows = [(name, _text(value["value"]), value["source"]) for name, value in shown.items()]
    more = [f"\nPrompt:\n{escape(effective.prompt)}" if effective.prompt else "\nNo prompt."]
    if effective.denial is not None:
        more.append(f"\nA call is refused: {escape(effective.denial.message)}")
    answer(as_json, {"project_id": project, **values}, table(("setting", "value", "source"), rows), *more)


async def set_value(
    key: Annotated[str, Parameter(help="The setting, such as max-tokens, max_tokens or maxTokens.")],
    value: Annotated[str, Parameter(help="Its new value; money in USD, a switch as true or false.")],
    /,
    *,
    as_json: AsJson = False,
) -> None:
    """Set one of the system's settings; the history says who and when."""
    name = to_snake(key)
    if name not in SystemValues.model_fields:
        raise CommandFailedError(
            "unknown_setting", f"{key}: is none of {', '.join(SystemValues.model_fields)}", MISUSED
        )
    async with operating() as ctx:
        wanted = _with(await system_settings(ctx), key, name, value).as_stored()[name]
        updated = await update_system_settings(ctx, {name: wanted})
    shown = _in_usd(updated)[name]
    answer(
        as_json,
        {"key": name, "value": shown, "version": updated.version},
        f"{name} is {escape(_text(shown))} (version {updated.version}).",
    )


def _with(stored: SystemSettings, key: str, name: str, text: str) -> SystemValues:
    """The settings with one value read from a text, as its kind says; the error names what is allowed."""
    try:
        return SystemValues.model_validate({**_in_usd(stored), name: text})
    except pydantic.ValidationError:
        allowed = SystemValues.model_fields[name].description
        raise CommandFailedError("validation_error", f"{key}: must be {allowed}", MISUSED) from None


def _in_usd(stored: SystemSettings) -> dict[str, Any]:
    """The settings by their names, without the version."""
    values: dict[str, Any] = TypeAdapter(SystemSettings).dump_python(stored, mode="json", by_alias=False)
    return values


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
