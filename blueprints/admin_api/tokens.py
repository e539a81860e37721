"""API tokens: making, listing and revoking them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, Field

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission, Role
from app.context import Context
from app.services.operators import api_tokens
from app.services.operators.api_tokens import MAX_DAYS, MAX_NAME, NEWEST_FIRST, ListedToken, NewToken
from blueprints.admin_api import api
from blueprints.web.fields import IS_NAME, NO_NUL, RequestModel, trimmed

CALLER = operator(Permission.API_TOKENS_MANAGE)
TokenName = Annotated[
    str,
    BeforeValidator(trimmed),
    Field(min_length=1, max_length=MAX_NAME, pattern=NO_NUL, description="What it is for."),
    IS_NAME,
]
Days = Annotated[int, Field(ge=1, le=MAX_DAYS, description="Days that it is good for; the settings say how many else.")]


class TokenRequest(RequestModel):
    """A token to make."""

    name: TokenName
    role: Annotated[Role, Field(description="What it may do.")]
    days: Days | None = None


class TokenPage(RequestModel):
    """Which tokens to list."""

    before_id: Annotated[int, Field(ge=1, le=NEWEST_FIRST, description="List from below this id.")] = NEWEST_FIRST
    page_size: Annotated[int, Field(ge=1, le=500, description="How many at the most.")] = 100


@dataclass(frozen=True, slots=True)
class TokenList:
    """Tokens, newest first."""

    tokens: list[ListedToken]


@api.operation("GET", "/tokens", caller=CALLER, answers=TokenList, query=TokenPage)
async def list_tokens(ctx: Context, query: TokenPage) -> TokenList:
    """List the API tokens, newest first, also those that have ended."""
    return TokenList(await api_tokens.list_tokens(ctx, before_id=query.before_id, page_size=query.page_size))


@api.operation("POST", "/tokens", caller=CALLER, answers=NewToken, status=201, body=TokenRequest, creates=True)
async def create_token(ctx: Context, body: TokenRequest) -> NewToken:
    """Make an API token.

    It is shown in this answer and never again. Nobody can make one that may do more than they may themselves.
    """
    return await api_tokens.create_token(ctx, name=body.name, role=body.role, days=body.days)


@api.operation(
    "DELETE",
    "/tokens/{token_id:int}",
    caller=CALLER,
    answers=None,
    status=204,
    errors=(errors.ApiTokenNotFoundError,),
    path_parameters={"token_id": "The token's id, as the list shows it."},
)
async def revoke_token(ctx: Context, token_id: int) -> None:
    """Revoke an API token: its next request is refused. May be repeated."""
    await api_tokens.revoke_token(ctx, token_id)
