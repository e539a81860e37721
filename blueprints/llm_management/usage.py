"""What models were called, and what that has cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.contract.camel import AS_NAMED
from app.money import to_usd
from app.services.llm import call_list
from app.services.llm.call_list import Call, Chosen
from app.services.reports import model_usage
from app.services.reports.model_usage import Overview
from blueprints.llm_management import api
from blueprints.web.fields import NO_NUL, PageNumber, RequestModel, TenantSlug

READER = operator(Permission.LLM_USAGE_READ)


class CallQuery(RequestModel):
    """Which calls."""

    range: Annotated[
        str,
        Field(
            max_length=20,
            pattern=NO_NUL,
            description="`today` is since midnight where the installation stands; `1day`, `7days` and `30days` end now;"
            " anything else means all.",
        ),
    ] = "7days"
    agent: Annotated[str | None, Field(max_length=32, pattern=NO_NUL, description="The kind of agent.")] = None
    provider: Annotated[str | None, Field(max_length=32, pattern=NO_NUL, description="Such as `openai`.")] = None
    status: Annotated[
        Literal["success", "error", "cached"] | None, Field(description="How the call ended, or not made at all.")
    ] = None
    tenant_slug: Annotated[TenantSlug | None, Field(description="Only this tenant's.")] = None
    project_id: Annotated[str | None, Field(max_length=100, pattern=NO_NUL, description="Only this project's.")] = None
    cursor: Annotated[
        str | None, Field(max_length=100, description="`next_cursor` of the page before; the page number is not used.")
    ] = None
    page: PageNumber = 1
    page_size: Annotated[int, Field(ge=1, le=200, description="Calls on a page.")] = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswer:
    """A call; the cost in USD with four decimals, the duration in seconds with two."""

    __pydantic_config__ = AS_NAMED
    id: str
    timestamp: datetime
    agent_type: str
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cost: float
    duration_seconds: float
    success: bool
    error_message: str | None
    task_description: str
    cached: Annotated[bool, Field(description="Answered from the portal's own cache, without a call.")]

    @classmethod
    def of(cls, call: Call) -> CallAnswer:
        """The answer about a row of the log."""
        return cls(
            id=str(call.id),
            timestamp=call.created_at,
            agent_type=call.agent_type,
            provider=call.provider,
            model=call.model,
            input_tokens=call.input_tokens,
            output_tokens=call.output_tokens,
            cost=round(to_usd(call.cost), 4),
            duration_seconds=round(call.duration_ms / 1000, 2),
            success=call.success,
            error_message=call.error_message,
            task_description=call.task_description or "",
            cached=call.cached,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPage:
    """A page of calls; where the total is capped, there are more."""

    __pydantic_config__ = AS_NAMED
    logs: list[CallAnswer]
    total: int
    total_is_capped: bool
    page: int
    page_size: int
    total_pages: Annotated[int, Field(description="0 where there is no call.")]
    next_cursor: Annotated[str | None, Field(description="Where the next page begins; null at the end.")]


@api.operation("GET", "/stats", caller=READER, answers=Overview)
async def stats(ctx: Context) -> Overview:
    """What models have cost in the running month, and on each of the last 30 days.

    Days and months are those of the installation's time zone. Answers from the cache count as calls that cost nothing.
    """
    return await model_usage.overview(ctx)


@api.operation("GET", "/logs", caller=READER, query=CallQuery, answers=CallPage)
async def logs(ctx: Context, query: CallQuery) -> CallPage:
    """The calls of models, newest first, by page numbers or from cursor to cursor.

    The total is exact up to 10,000. Going on with `next_cursor` takes as long for the last page as for the first, and
    neither skips nor repeats a call that was there at the beginning.
    """
    chosen = Chosen(
        period=query.range,
        agent_type=query.agent,
        provider=query.provider,
        status=query.status,
        tenant_slug=query.tenant_slug,
        project_id=query.project_id,
    )
    listed = await call_list.list_calls(ctx, chosen, cursor=query.cursor, page=query.page, page_size=query.page_size)
    return CallPage(
        logs=[CallAnswer.of(call) for call in listed.rows],
        total=listed.total.total,
        total_is_capped=listed.total.is_capped,
        page=query.page,
        page_size=query.page_size,
        total_pages=listed.total.pages(query.page_size) if listed.total.total else 0,
        next_cursor=listed.next_cursor,
    )
