"""One call of a model from the command line, through everything that an agent's call goes through."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from app.commands.output import answer, escape, table
from app.commands.parameters import AsJson
from app.commands.session import operating
from app.services.ledger.accounts import Owner
from app.services.llm.calls import ModelRequest, as_json, call_model, owner_of_project
from app.services.llm.refusals import usd
from app.services.llm.setting_values import agent_type_named

COLUMNS = ("provider", "model", "ended", "tokens in", "out", "reserved USD", "cost USD", "ms", "error")
DESCRIPTION = "tried from the command line"


async def llm_try(
    prompt: Annotated[str, Parameter(help="What to ask.")],
    *,
    agent: Annotated[str, Parameter(help="The type of agent whose settings are used.")] = "coder",
    project: Annotated[str | None, Parameter(help="The id of the project that pays; without one, none does.")] = None,
    as_json_: AsJson = False,
) -> int:
    """Ask a model one thing, and show provider, model, tokens, cost and each attempt.

    Settings, prices, budgets and the log are those of any call: it costs money, and it is in the log.
    """
    agent_type = agent_type_named(agent, "agent")
    async with operating() as ctx:
        owner = Owner() if project is None else await owner_of_project(ctx, project)
        answered = await call_model(ctx, ModelRequest(prompt, DESCRIPTION), owner, agent_type)
    figures = (
        f"{answered.provider} {answered.model}: {answered.input_tokens} tokens in, {answered.output_tokens} out,"
        f" {usd(answered.cost)} USD"
    )
    attempts = (
        (
            attempt.provider,
            attempt.model,
            attempt.end,
            attempt.input_tokens,
            attempt.output_tokens,
            usd(attempt.reserved),
            usd(attempt.cost),
            attempt.duration_ms,
            attempt.error,
        )
        for attempt in answered.attempts
    )
    answer(
        as_json_,
        as_json(answered),
        escape(answered.text),
        Text(f"\n{figures}\n", style="green"),
        table(COLUMNS, attempts),
    )
    return 0
