"""Deletions of tenants: which there are, and how far each is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.contract.camel import AS_NAMED
from app.services.tenants import deletion_list
from app.services.tenants.deletion_list import Status, TenantDeletion
from blueprints.admin_api import api
from blueprints.web.fields import PageNumber, RequestModel


class DeletionQuery(RequestModel):
    """Which page."""

    page: PageNumber = 1
    page_size: Annotated[int, Field(ge=1, le=200, description="Deletions a page.")] = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionAnswer:
    """A deletion of a tenant; what is counted are rows."""

    __pydantic_config__ = AS_NAMED
    id: int
    tenant_id: int
    slug: Annotated[str, Field(description="The slug that the tenant had; another tenant may have it by now.")]
    name: str
    requested_by: str
    requested_at: datetime
    status: Annotated[Status, Field(description="waiting, until somebody works on it; running; finished.")]
    found: Annotated[dict[str, int] | None, Field(description="How many by table; null before they are counted.")]
    expected: Annotated[int | None, Field(description="How many that are together.")]
    removed: Annotated[int, Field(description="How many of them are gone.")]
    percent: Annotated[int, Field(description="100 when it has finished, at most 99 before.")]
    finished_at: datetime | None

    @classmethod
    def of(cls, deletion: TenantDeletion) -> DeletionAnswer:
        """The answer about a deletion."""
        return cls(**asdict(deletion))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionPage:
    """A page of deletions; where the total is capped, there are more."""

    __pydantic_config__ = AS_NAMED
    deletions: list[DeletionAnswer]
    total: int
    total_is_capped: bool
    page: int
    page_size: int
    total_pages: int


@api.operation(
    "GET",
    "/tenant-deletions",
    caller=operator(Permission.TENANTS_READ),
    query=DeletionQuery,
    answers=DeletionPage,
)
async def tenant_deletions(ctx: Context, query: DeletionQuery) -> DeletionPage:
    """List the deletions of tenants with their progress, newest first."""
    listed = await deletion_list.list_deletions(ctx, page=query.page, page_size=query.page_size)
    return DeletionPage(
        deletions=[DeletionAnswer.of(each) for each in listed.rows],
        total=listed.total.total,
        total_is_capped=listed.total.is_capped,
        page=query.page,
        page_size=query.page_size,
        total_pages=listed.total.pages(query.page_size),
    )


@api.operation(
    "GET",
    "/tenant-deletions/{deletion_id:int}",
    caller=operator(Permission.TENANTS_READ),
    answers=DeletionAnswer,
    errors=(errors.TenantDeletionNotFoundError,),
    path_parameters={"deletion_id": "The deletion's id."},
)
async def tenant_deletion(ctx: Context, deletion_id: int) -> DeletionAnswer:
    """One deletion of a tenant with its progress."""
    return DeletionAnswer.of(await deletion_list.find_deletion(ctx, deletion_id))
