"""Prices of models from the command line, and what the doctor says of providers and of models without a price."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterator

import pytest
import structlog

from app.__main__ import main
from app.commands.session import operating
from app.services.llm.prices import remove_price, set_price
from app.services.llm.system_settings import update_system_settings

Portal = Callable[..., tuple[int, str, str]]
KEY = "sk-a-key-that-nobody-prints"


@pytest.fixture
def portal(
    state: object, empty_database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Portal]:
    """Runs a command on an empty database, once on each kind; answers its exit code and what it prints."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    monkeypatch.setenv("PORTAL_DATABASE_URL", empty_database)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["portal", *arguments])
        capsys.readouterr()
        exit_code = main()
        shown = capsys.readouterr()
        return exit_code, shown.out, shown.err

    yield run
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def checks(portal: Portal) -> dict[str, tuple[str, str]]:
    """What the doctor says of each check."""
    exit_code, out, err = portal("doctor", "--json")
    assert (exit_code, KEY in out + err) == (0, False), err
    return {found["check"]: (found["status"], found["detail"]) for found in json.loads(out)["checks"]}


def test_a_price_is_set_listed_and_removed(portal: Portal) -> None:
    set_price = ("llm", "set-price", "openai", "local/llama:7b", "--input", "0.1", "--output", "2.000000001")
    exit_code, out, err = portal(*set_price, "--cached-input", "0", "--json")
    assert exit_code == 0, err
    made = json.loads(out)
    assert (made["provider"], made["model"], made["source"], made["missing"]) == (
        "openai",
        "local/llama:7b",
        "own",
        False,
    )
    assert (made["input_price"], made["cached_input_price"], made["output_price"]) == (0.1, 0, 2.000000001)
    assert made["updated_by"].endswith("on the command line")

    listed = json.loads(portal("llm", "prices", "--json")[1])
    assert listed["is_capped"] is False
    assert [price["source"] for price in listed["prices"]] == ["list", "list", "list", "own"]
    assert portal("llm", "prices")[1].splitlines()[-1].split() == [
        "openai",
        "local/llama:7b",
        "0.1",
        "0",
        "2.000000001",
        "own",
    ]
    assert portal(*set_price)[1] == "openai local/llama:7b: 0.1 in, 2.000000001 out, by your own price.\n"

    assert portal("llm", "remove-price", "openai", "local/llama:7b")[1] == "openai local/llama:7b has no price.\n"
    assert json.loads(portal("llm", "remove-price", "openai", "gpt-4o", "--json")[1])["source"] == "list"


def test_the_public_list_is_searched(portal: Portal) -> None:
    found = json.loads(portal("llm", "prices", "--search", "gemini-2.5-pro", "--json")[1])["prices"]

    assert ("gemini", "gemini-2.5-pro") in {(price["provider"], price["model"]) for price in found}
    assert portal("llm", "prices", "--search", "nobody's")[1] == "No model has such a name.\n"
    assert portal("llm", "prices", "--search", "e")[1].endswith("There are more: narrow the search.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("openai", "m", "--input", "NaN", "--output", "1"), "validation_error", "--input: must be from 0 to 1000000"),
        (("openai", "m", "--input", "1", "--output", "-1"), "validation_error", "--output: must be from 0"),
        (("openai", "m", "--input", "1", "--output", "1000000.1"), "validation_error", "--output: must be from 0"),
        (("openai", "m", "--input", "1e999", "--output", "1"), "validation_error", "--input: must be from 0"),
        (
            ("openai", "m", "--input", "1", "--output", "1", "--cached-input", "0.0000000001"),
            "validation_error",
            "--cached-input: must be from 0",
        ),
        (("openai", " ", "--input", "1", "--output", "1"), "validation_error", "--model: must be 1 to 100"),
        (("openai", "m", "--input", "much", "--output", "1"), "validation_error", "--input: must be from 0"),
        (("mistral", "m", "--input", "1", "--output", "1"), "usage", "mistral"),
        (("openai", "m", "--input", "1"), "usage", "--output"),
    ],
)
def test_a_wrong_price_is_one_line(portal: Portal, arguments: tuple[str, ...], code: str, told: str) -> None:
    exit_code, out, err = portal("llm", "set-price", *arguments, "--json")

    assert (exit_code, out) == (2, "")
    problem = json.loads(err)
    assert problem["errorCode"] == code
    assert told in problem["message"]


def test_the_doctor_says_which_provider_has_a_key_and_never_the_key(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal("migrate")
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1")

    found = checks(portal)

    assert found["gemini"] == ("ok", "has a key (GOOGLE_API_KEY)")
    unused = "has no key, and no setting that was made uses it"
    assert found["openai"] == ("ok", f"{unused}; called at http://127.0.0.1:11434/v1 (OPENAI_BASE_URL)")
    assert found["anthropic"] == ("ok", unused)
    assert found["model_prices"] == ("ok", "every model that the settings name has a price")


def test_a_variable_that_only_looks_like_a_providers_is_a_mistake(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal("migrate")
    monkeypatch.setenv("PORTAL_OPENAI_API_KEY", KEY)

    exit_code, out, _ = portal("doctor", "--json")

    assert (exit_code, KEY in out) == (1, False)
    wrong = next(found for found in json.loads(out)["checks"] if found["check"] == "PORTAL_OPENAI_API_KEY")
    assert wrong["detail"] == "is not a setting; did you mean OPENAI_API_KEY?"


def test_the_doctor_names_providers_without_a_key_and_models_without_a_price_once_they_are_used(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use() -> None:
        async with operating() as ctx:
            changes = {"primary_provider": "openai", "secondary_provider": "openai", "tertiary_provider": "gemini"}
            # A price that is removed later leaves the model without one.
            await set_price(ctx, "openai", "local/llama:7b", {"input_price": 0, "output_price": 0})
            await update_system_settings(ctx, {**changes, "openai_model": "local/llama:7b"})
            await remove_price(ctx, "openai", "local/llama:7b")

    asyncio.run(use())

    found = checks(portal)

    assert found["openai"] == ("warning", "is used by settings and has no key; set OPENAI_API_KEY")
    assert found["gemini"] == ("warning", "is used by settings and has no key; set GOOGLE_API_KEY")
    assert found["anthropic"][0] == "ok"
    status, detail = found["model_prices"]
    assert status == "warning"
    assert detail.startswith("none for openai local/llama:7b: ")
    assert detail.endswith("run: portal llm set-price openai local/llama:7b --input USD --output USD")
    shown = portal("llm", "prices")[1]
    told = "To give it a price: portal llm set-price openai local/llama:7b --input USD --output USD"
    assert shown.splitlines()[-1] == told
