"""What the pages about one tenant have in common: the tenant that was chosen, and the pages of its lists."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlencode

from sanic import Request

from app import typed_text
from app.context import Context
from app.errors import TenantNotFoundError
from app.numerals import read_numeral
from app.services.directory.lookup import Tenant, tenant_named
from app.services.figures.totals import Total
from sql.bounds import MAX_ID

PAGE_SIZE = 50
# No list is longer, and no database counts further.
MAX_PAGES = 10**9 - 1


class Choice(NamedTuple):
    """The slug that was typed and the tenant that it names, or the error where it names none."""

    slug: str
    tenant: Tenant | None = None
    error: TenantNotFoundError | None = None


class PageLinks(NamedTuple):
    """Which page of a list this is, and the numbers of those beside it."""

    page: int
    previous: int | None
    next: int | None


async def choose_tenant(ctx: Context, typed: str) -> Choice:
    """The tenant of this slug; nothing typed chooses none, which is no error."""
    slug = typed_text.slug(typed)
    if not slug:
        return Choice(slug)
    try:
        return Choice(slug, await tenant_named(ctx, slug))
    except TenantNotFoundError as error:
        return Choice(slug, error=error)


def page_links(page: int, total: Total) -> PageLinks:
    """The pages beside this one; behind a total that is capped there are more."""
    has_next = total.is_capped or page * PAGE_SIZE < total.total
    return PageLinks(page, page - 1 if page > 1 else None, page + 1 if has_next else None)


def asked_tenant(request: Request) -> str:
    """The slug in the address, or nothing."""
    return str(request.args.get("tenant", ""))


def asked_page(request: Request) -> int:
    """The number of the page in the address; the first where it has none or no number."""
    return max(1, read_id(request.args.get("page", ""), MAX_PAGES))


def read_id(text: str, maximum: int = MAX_ID) -> int:
    """A number that a page has written into a form or an address; 0, which nothing has, for anything else."""
    try:
        return read_numeral(text, maximum)
    except ValueError:
        return 0


def list_address(path: str, tenant_slug: str) -> str:
    """The first page of a tenant's list."""
    return f"{path}?{urlencode({'tenant': tenant_slug})}"
