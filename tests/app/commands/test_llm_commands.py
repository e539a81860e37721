"""Settings for language models from the command line: what is set, what holds, and setting one value."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from app.__main__ import main
from app.commands.session import operating
from app.context import Context
from app.services.llm import agent_settings, history_list
from app.services.llm.history_list import Chosen
from app.services.llm.setting_values import SystemValues
from sql.tables import projects

Portal = Callable[..., tuple[int, str, str]]


@pytest.fixture
def portal(
    state: object, database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Portal]:
    """Runs a command on a fresh database, once on each kind; answers its exit code and outputs."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    monkeypatch.setenv("PORTAL_DATABASE_URL", database)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["portal", "llm", *arguments])
        capsys.readouterr()
        return main(), *capsys.readouterr()

    yield run
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def shown(portal: Portal, *arguments: str) -> Any:
    exit_code, out, err = portal(*arguments, "--json")
    assert (exit_code, err) == (0, "")
    return json.loads(out)


async def with_project(ctx: Context) -> None:
    """A project whose coder has a prompt of its own."""
    now = ctx.now()
    row = {"project_id": "shop", "name": "Shop", "created_by": "tests", "max_tokens_override": 100}
    async with ctx.write() as conn:
        await conn.affected(
            projects.insert(), **row, custom_instructions="[Use] Django.", created_at=now, updated_at=now
        )
    await agent_settings.update_agent_settings(ctx, "shop", "coder", {"custom_prompt": "You are a coder."})


def test_the_systems_settings_are_shown(portal: Portal) -> None:
    values = shown(portal, "settings")

    assert list(values) == [*SystemValues.model_fields, "version"]
    assert (values["primary_provider"], values["monthly_budget"], values["version"]) == ("gemini", 1000.0, 0)
    _, out, _ = portal("settings")
    assert [
        line.split() for line in out.splitlines() if line.startswith(("setting", "max_tokens", "cache_enabled"))
    ] == [
        ["setting", "value"],
        ["max_tokens", "4096"],
        ["cache_enabled", "true"],
    ]


@pytest.mark.parametrize("key", ["max-tokens", "max_tokens", "maxTokens"])
def test_a_value_is_set_whatever_way_its_key_is_written(portal: Portal, key: str) -> None:
    assert shown(portal, "set", key, "2048") == {"key": "max_tokens", "value": 2048, "version": 1}
    assert shown(portal, "settings")["max_tokens"] == 2048
    assert portal("set", key, "2048") == (0, "max_tokens is 2048 (version 1).\n", "")


async def test_the_history_says_who_was_at_the_command_line(portal: Portal) -> None:
    await asyncio.to_thread(portal, "set", "daily-budget", "12.5")
    async with operating() as ctx:
        (change,) = (await history_list.list_setting_changes(ctx, Chosen())).changes

    assert (change.field, change.old_value, change.new_value) == ("daily_budget", "50000000000", "12500000000")
    assert change.actor_type == "operator"
    assert change.actor_name.endswith(" on the command line")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("primary-provider", "openai", "openai"),
        ("openai-model", " gpt-5.1 ", "gpt-5.1"),
        ("temperature", "0", 0.0),
        ("retries-per-provider", "5", 5),
        ("monthly-budget", "0.000000001", 1e-9),
        ("cache-enabled", "false", False),
        ("min-quality-score", "100", 100),
        ("system-prompt", "Be [bold]brief[/bold].", "Be [bold]brief[/bold]."),
    ],
)
def test_every_kind_of_value_is_read(portal: Portal, key: str, text: str, value: Any) -> None:
    assert shown(portal, "set", key, text)["value"] == value
    assert shown(portal, "settings")[key.replace("-", "_")] == value
    if isinstance(value, str):
        assert value in portal("settings")[1]


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("primary-provider", "mistral", "primary-provider: must be gemini, openai or anthropic"),
        ("geminiModel", "", "geminiModel: must be 1 to 100 printable ASCII characters"),
        ("temperature", "2.1", "temperature: must be a number from 0 to 2"),
        ("temperature", "nan", "temperature: must be a number from 0 to 2"),
        ("max_tokens", "many", "max_tokens: must be a whole number from 64 to 8192"),
        ("max_tokens", "9223372036854775808", "max_tokens: must be a whole number from 64 to 8192"),
        ("daily-budget", "0.0000000001", "daily-budget: must be USD from 0 to 1000000000, with at most nine decimals"),
        ("cache-enabled", "perhaps", "cache-enabled: must be true or false"),
        ("system-prompt", "x" * 100_001, "system-prompt: must be a text of at most 100000 characters"),
        ("colour", "red", f"colour: is none of {', '.join(SystemValues.model_fields)}"),
    ],
)
def test_a_wrong_value_is_told_in_one_line_with_what_is_allowed(portal: Portal, key: str, text: str, told: str) -> None:
    assert portal("set", key, text) == (2, "", f"{told}\n")
    exit_code, out, err = portal("set", key, text, "--json")
    assert (exit_code, out, json.loads(err)["message"]) == (2, "", told)


async def test_what_holds_is_shown_with_its_sources(portal: Portal) -> None:
    async with operating() as ctx:
        await with_project(ctx)

    of_coder = await asyncio.to_thread(shown, portal, "settings", "--project", "shop", "--agent", "coder")
    of_all = await asyncio.to_thread(shown, portal, "settings", "--project", "shop")
    _, out, _ = await asyncio.to_thread(portal, "settings", "--project", "shop", "--agent", "coder")

    assert (of_coder["project_id"], of_coder["agent_type"], of_all["agent_type"]) == ("shop", "coder", None)
    assert of_coder["max_tokens"] == {"value": 100, "source": "project"}
    assert of_coder["monthly_budget"] == {"value": 1000.0, "source": "system"}
    assert (of_coder["prompt"], of_all["prompt"]) == ("You are a coder.\n\n[Use] Django.", "[Use] Django.")
    assert ["max_tokens", "100", "project"] in [line.split() for line in out.splitlines()]
    assert out.endswith("Prompt:\nYou are a coder.\n\n[Use] Django.\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--agent", "coder"), "--agent needs --project. See: portal llm settings --help"),
        (("--project", "nothing"), "There is no project nothing. List the projects to see their ids."),
        (("--project", "shop", "--agent", "boss"), "--agent: must be one of orchestrator, researcher, coder, "),
    ],
)
def test_what_cannot_be_shown_is_told_in_one_line(portal: Portal, arguments: tuple[str, ...], told: str) -> None:
    exit_code, out, err = portal("settings", *arguments)

    assert (exit_code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(told)
