"""One call of a model from the command line, through everything that an agent's call goes through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

from cyclopts import Parameter
from rich.text import Text

from app.commands.output import answer, escape, table
from app.commands.parameters import AsJson
from app.commands.session import operating
from app.services.ledger.accounts import Owner
from app.services.llm.calls import ModelAnswer, ModelRequest, as_json, call_model, owner_of_project
from app.services.llm.cross_validation import Judgement, Verdict
from app.services.llm.refusals import usd
from app.services.llm.setting_values import agent_type_named

COLUMNS = ("for", "provider", "model", "ended", "tokens in", "out", "reserved USD", "cost USD", "ms", "error")
STYLES: Final[dict[Verdict, str]] = {"accepted": "green", "rejected": "red", "unjudged": "yellow"}
DESCRIPTION = "tried from the command line"


async def llm_try(
    prompt: Annotated[str, Parameter(help="What to ask.")],
    *,
    agent: Annotated[str, Parameter(help="The type of agent whose settings are used.")] = "coder",
    project: Annotated[str | None, Parameter(help="The id of the project that pays; without one, none does.")] = None,
    as_json_: AsJson = False,
) -> int:
    """Ask a model one thing, and show provider, model, tokens, cost, judgement and each attempt.

    Settings, prices, kept answers, budgets and the log are those of any call: it costs money, and it is in the log.
    """
    agent_type = agent_type_named(agent, "agent")
    async with operating() as ctx:
        owner = Owner() if project is None else await owner_of_project(ctx, project)
        answered = await call_model(ctx, ModelRequest(prompt, DESCRIPTION), owner, agent_type)
    answer(
        as_json_,
        as_json(answered),
        escape(answered.text),
        Text(f"\n{_figures(answered)}", style="green"),
        *_judgement(answered.judgement),
        Text(""),
        table(COLUMNS, _attempts(answered)),
    )
    return 0


def _figures(answered: ModelAnswer) -> str:
    """Who has answered and what it has cost, in a line."""
    who = f"{answered.provider} {answered.model}"
    if answered.is_cached:
        return f"{who}: kept from an earlier call; {usd(answered.cost)} USD"
    tokens = f"{answered.input_tokens} tokens in, {answered.output_tokens} out"
    return f"{who}: {tokens}, {usd(answered.cost)} USD"


def _judgement(judgement: Judgement | None) -> Iterator[Text]:
    """The judgement in a line, if one was wanted."""
    if judgement is None:
        return
    told: str = judgement.verdict
    if judgement.score is not None:
        told += f" by {judgement.provider} {judgement.model}, {judgement.score} of 100"
    yield Text(f"{told}: {judgement.reason}", style=STYLES[judgement.verdict])


def _attempts(answered: ModelAnswer) -> Iterator[tuple[object, ...]]:
    judging = answered.judgement.attempts if answered.judgement else ()
    for purpose, attempts in (("answer", answered.attempts), ("judgement", judging)):
        for attempt in attempts:
            yield (
                purpose,
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
