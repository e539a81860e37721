"""``portal llm try``: one call through everything, and what it says when there is nothing to call."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from support.fake_llm import FakeModels

from app.__main__ import main
from app.commands.session import operating
from app.services.llm.cross_validation import UNREADABLE
from app.services.llm.prices import set_price
from app.services.llm.setting_values import Provider
from app.services.llm.system_settings import update_system_settings

MODELS: dict[Provider, str] = {"gemini": "tried-first", "openai": "tried-next", "anthropic": "tried-judge"}
ARGUMENTS = ["portal", "llm", "try", "Say hello."]


async def configured() -> None:
    async with operating() as ctx:
        for provider, model in MODELS.items():
            await set_price(ctx, provider, model, {"input_price": 10**9, "output_price": 2 * 10**9})
        models = {f"{provider}_model": model for provider, model in MODELS.items()}
        await update_system_settings(ctx, {**models, "retries_per_provider": 0})


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", [*ARGUMENTS, *arguments])
    return main()


def test_without_a_key_it_names_the_variables(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 1
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert "Set one of GOOGLE_API_KEY, OPENAI_API_KEY, ANTHROPIC_API_KEY in the environment" in line


def test_it_shows_the_answer_and_each_attempt(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fake_llm: FakeModels
) -> None:
    for name, value in fake_llm.settings.items():
        monkeypatch.setenv(name, value)
    asyncio.run(configured())
    asyncio.run(fake_llm.standing("tried-first", status=503))
    asyncio.run(fake_llm.queue("tried-judge", {"text": '{"score": 40, "reason": "It greets [nobody]."}'}, {}))

    assert run(monkeypatch, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["text"], answer["provider"], answer["model"]) == ("Hello there.", "openai", "tried-next")
    ends = [(each["provider"], each["end"]) for each in answer["attempts"]]
    assert ends == [("gemini", "unconfirmed"), ("openai", "answered")]
    judgement = answer["judgement"]
    assert (judgement["verdict"], judgement["score"], judgement["provider"]) == ("rejected", 40, "anthropic")
    (judging,) = judgement["attempts"]
    assert answer["cost"] == sum(each["cost"] for each in (*answer["attempts"], judging))

    # What was rejected is not kept, and now the judge only chats.
    assert run(monkeypatch, "--agent", "qa") == 0
    shown = capsys.readouterr().out
    assert "Hello there." in shown
    assert "openai tried-next: 11 tokens in, 7 out" in shown
    assert f"unjudged: {UNREADABLE}" in shown
    assert "HTTP 503" in shown


def test_it_shows_a_kept_answer_with_its_judgement(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fake_llm: FakeModels
) -> None:
    for name, value in fake_llm.settings.items():
        monkeypatch.setenv(name, value)
    asyncio.run(configured())
    asyncio.run(fake_llm.standing("tried-first"))
    asyncio.run(fake_llm.standing("tried-next", text='{"score": 97, "reason": "It greets [nobody]."}'))

    assert run(monkeypatch) == 0
    first = capsys.readouterr().out
    assert "accepted by openai tried-next, 97 of 100: It greets [nobody]." in first
    rows = [line.split()[:2] for line in first.splitlines() if line.startswith(("answer", "judgement"))]
    assert rows == [["answer", "gemini"], ["judgement", "openai"]]
    assert run(monkeypatch) == 0
    second = capsys.readouterr().out
    assert "gemini tried-first: kept from an earlier call; 0 USD" in second
    assert "accepted by openai tried-next, 97 of 100: It greets [nobody]." in second
    assert run(monkeypatch, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["is_cached"], answer["cost"], answer["attempts"]) == (True, 0, [])
    assert (answer["judgement"]["verdict"], answer["judgement"]["attempts"]) == ("accepted", [])


def test_it_says_what_is_wrong(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fake_llm: FakeModels
) -> None:
    for name, value in fake_llm.settings.items():
        monkeypatch.setenv(name, value)
    assert run(monkeypatch, "--project", "nobody-s") == 2
    assert "There is no project nobody-s." in capsys.readouterr().err
    assert run(monkeypatch, "--agent", "painter") == 2
    assert "--agent: must be one of" in capsys.readouterr().err
