"""The resolver: the most specific value that is set holds, whatever the rows say."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Table

from app.services.llm.effective import EffectiveSettings, Value, resolve
from app.services.llm.levels import AgentSettings, ProjectSettings
from app.services.llm.setting_values import AGENT_TYPES, Provider, SystemValues
from app.services.llm.system_settings import DEFAULTS, SystemSettings
from sql.tables import agent_settings, projects, system_settings
from sql.tables.projects import PROVIDERS

providers = st.sampled_from(PROVIDERS)
models = st.sampled_from(["one", "two", "three", "four"])
texts = st.sampled_from(["", " ", "Be brief.", "Use Rust.\nNo jokes.", "Ask first."])
overrides = {
    "provider_override": st.none() | providers,
    "model_override": st.none() | models,
    "temperature_override": st.none() | st.sampled_from([0.0, 1.5]),
    "max_tokens_override": st.none() | st.integers(64, 8192),
    "custom_instructions": st.none() | texts,
}
systems = st.builds(
    SystemSettings,
    **dict.fromkeys(("primary_provider", "secondary_provider", "tertiary_provider"), providers),
    **{f"{provider}_model": st.just(f"{provider}'s") for provider in PROVIDERS},
    temperature=st.sampled_from([0.0, 0.7]),
    max_tokens=st.integers(64, 8192),
    monthly_budget=st.integers(0, 10**18),
    system_prompt=texts,
)
of_projects = st.none() | st.builds(
    ProjectSettings, **overrides, monthly_budget_override=st.none() | st.integers(0, 10**18)
)
of_agents = st.none() | st.builds(
    AgentSettings, st.sampled_from(AGENT_TYPES), **overrides, custom_prompt=st.none() | texts, enabled=st.booleans()
)


def most_specific(*values: tuple[str, Any]) -> Value[Any]:
    """The last one that is set, most general first."""
    return next(Value(value, source) for source, value in reversed(values) if value is not None)  # type: ignore[arg-type]


def expected_model(system: SystemSettings, levels: list[tuple[str, Any]]) -> Value[Any]:
    """The most specific model whose provider is still the one that holds in the end, or else the system's."""
    named = [(source, level.provider_override, level.model_override) for source, level in levels if level is not None]
    held: list[tuple[str, str | None, str]] = []
    provider: str = system.primary_provider
    for source, override, model in named:
        provider = override or provider
        held.append((source, model, provider))
    for source, model, its_provider in reversed(held):
        if its_provider != provider:
            break
        if model is not None:
            return Value(model, source)  # type: ignore[arg-type]
    return Value(f"{provider}'s", "system")


@given(systems, of_projects, of_agents)
def test_the_most_specific_value_that_is_set_holds(
    system: SystemSettings, project: ProjectSettings | None, agent: AgentSettings | None
) -> None:
    found = resolve(system, project, agent, "coder")

    if agent is not None and not agent.enabled:
        assert found == resolve(system, project, None, "coder")
        return
    for field in ("temperature", "max_tokens"):
        levels = [("project", project), ("agent", agent)]
        values = [(source, getattr(level, f"{field}_override")) for source, level in levels if level is not None]
        assert getattr(found, field) == most_specific(("system", getattr(system, field)), *values), field
    chosen = [("project", project and project.provider_override), ("agent", agent and agent.provider_override)]
    assert found.provider == most_specific(("system", system.primary_provider), *chosen)
    assert found.model == expected_model(system, [("project", project), ("agent", agent)])
    budget = ("project", project and project.monthly_budget_override)
    assert found.monthly_budget == most_specific(("system", system.monthly_budget), budget)


@given(systems, of_projects, of_agents)
def test_every_provider_is_asked_once_the_first_one_first_and_the_others_in_the_systems_order(
    system: SystemSettings, project: ProjectSettings | None, agent: AgentSettings | None
) -> None:
    found = resolve(system, project, agent)

    order = [found.provider.value, found.secondary_provider.value, found.tertiary_provider.value]
    asked = [provider for provider in order if provider is not None]
    of_system = [system.primary_provider, system.secondary_provider, system.tertiary_provider]
    assert len(asked) == len(set(asked))
    assert set(asked) == {found.provider.value, *of_system}
    assert order[: len(asked)] == asked
    assert sorted(asked[1:], key=of_system.index) == asked[1:]


@given(systems, of_projects, of_agents)
def test_the_prompt_is_replaced_and_instructions_are_appended(
    system: SystemSettings, project: ProjectSettings | None, agent: AgentSettings | None
) -> None:
    found = resolve(system, project, agent)

    own = agent if agent is not None and agent.enabled else None
    parts = [own.custom_prompt if own and own.custom_prompt else system.system_prompt]
    parts += [level.custom_instructions or "" for level in (project, own) if level is not None]
    assert found.prompt.split("\n\n") == ([part for part in parts if part.strip()] or [""])


@pytest.mark.parametrize(
    ("project", "agent", "provider", "model"),
    [
        ({}, {}, "gemini", "system's"),
        ({"model_override": "p"}, {}, "gemini", "p"),
        ({"provider_override": "openai"}, {}, "openai", "system's"),
        ({"provider_override": "openai", "model_override": "p"}, {}, "openai", "p"),
        ({"provider_override": "openai", "model_override": "p"}, {"provider_override": "anthropic"}, "anthropic", None),
        ({"provider_override": "openai", "model_override": "p"}, {"provider_override": "openai"}, "openai", "p"),
        ({"provider_override": "openai", "model_override": "p"}, {"model_override": "a"}, "openai", "a"),
        ({"model_override": "p"}, {"provider_override": "openai", "model_override": "a"}, "openai", "a"),
    ],
)
def test_a_model_belongs_to_its_provider(
    project: dict[str, Any], agent: dict[str, Any], provider: Provider, model: str | None
) -> None:
    found = resolve(DEFAULTS, ProjectSettings(**project), AgentSettings("coder", **agent))

    assert found.provider.value == provider
    assert found.model.value == (DEFAULTS.model_of(provider) if model in {None, "system's"} else model)


def test_a_whole_example() -> None:
    system = replace(DEFAULTS, system_prompt="You write software.", temperature=0.5)
    project = ProjectSettings(custom_instructions="Use Django.", monthly_budget_override=5, temperature_override=0.0)
    agent = AgentSettings("coder", provider_override="openai", custom_instructions="Type everything.")

    found = resolve(system, project, agent, "coder")

    assert found.prompt == "You write software.\n\nUse Django.\n\nType everything."
    assert (found.agent_type, found.provider, found.model) == (
        "coder",
        Value("openai", "agent"),
        Value("gpt-4o", "system"),
    )
    assert (found.temperature, found.monthly_budget) == (Value(0.0, "project"), Value(5, "project"))
    assert (found.secondary_provider, found.tertiary_provider) == (
        Value("gemini", "system"),
        Value("anthropic", "system"),
    )


def test_every_setting_that_is_stored_is_resolved() -> None:
    """A column that is added is either resolved or named here."""
    stored = {column.name for column in system_settings.c} - {"id", "version", "updated_at"}
    named_otherwise = {"primary_provider": "provider", "system_prompt": "prompt"}
    resolved = {field.name for field in fields(EffectiveSettings)} - {"agent_type", "model", "denial"}

    assert {named_otherwise.get(name, name) for name in stored} == resolved
    assert set(SystemValues.model_fields) == stored
    assert {field.name for field in fields(SystemSettings)} == stored | {"version"}
    assert columns(projects, "_override") | {"custom_instructions"} == {field.name for field in fields(ProjectSettings)}
    of_agent = columns(agent_settings, "") - {"project_id", "created_at"}
    assert {field.name for field in fields(AgentSettings)} == of_agent
    assert get_args(Provider) == PROVIDERS


def columns(table: Table, ending: str) -> set[str]:
    return {column.name for column in table.c if column.name.endswith(ending)}
