"""What is wrong with a request, in a person's words: sentences where a page shows them, and no word of a library's."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic import ValidationError as PydanticError
from support.admin import as_operator, as_tenant
from support.builders import licensed
from support.live import LiveServer

from app.contract.field_words import told_fields
from sql.bounds import NO_NUL

# Where the front ends show `detail` as it is: what was sent, and what the person reads.
SENTENCES = {
    "a blank name": ("PUT", "/api/tenant/profile", {"name": "  "}, "Name must be filled in."),
    "two fields": (
        "PUT",
        "/api/tenant/profile",
        {"logoUrl": "logo.svg", "primaryColor": "red"},
        "Logo url is not an absolute http or https address. Primary color is not a colour such as #0a5 or #00aa55.",
    ),
    "an unknown field": ("PUT", "/api/tenant/profile", {"plan": "Gold"}, "Plan is not known here."),
    "too few codes": (
        "POST",
        "/admin/api/codes/generate",
        {"tenant_slug": "acme", "count": 0},
        "Count must be at least 1.",
    ),
    "no tenant": ("POST", "/admin/api/codes/generate", {}, "Tenant slug must be filled in."),
    "a short name to sign in": (
        "POST",
        "/api/tenant/auth/otp/generate",
        {"tenant_slug": "ab"},
        "Tenant slug must have at least 3 characters.",
    ),
    "no code": ("POST", "/api/tenant/auth/otp/verify", {"tenant_slug": "acme"}, "Otp code must be filled in."),
}


async def test_what_a_page_shows_as_it_is_is_a_sentence_and_the_list_stands_beside_it(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    headers = {**await as_operator(sanic_client), **await as_tenant(sanic_client, tenant.tenant_id)}

    told_in = {
        name: (await sanic_client.http.request(method, path, headers=headers, json=body)).json()
        for name, (method, path, body, _) in SENTENCES.items()
    }

    assert {name: problem["detail"] for name, problem in told_in.items()} == {
        name: text for name, (*_, text) in SENTENCES.items()
    }
    assert {problem["status"] for problem in told_in.values()} == {422}
    assert all(error.keys() == {"loc", "msg", "type"} for problem in told_in.values() for error in problem["errors"])


class _Everything(BaseModel):
    """A field of each kind that requests have."""

    text: Annotated[str, Field(min_length=1, max_length=3, pattern=NO_NUL)]
    longer: Annotated[str, Field(min_length=3)]
    kind: Annotated[str, Field(pattern="^[a-z]+$")]
    number: Annotated[int, Field(ge=1, le=3)]
    fraction: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
    switch: bool
    choice: Literal["one", "two"]
    moment: AwareDatetime
    some: Annotated[list[int], Field(min_length=1, max_length=2)]
    object: dict[str, int]

    model_config = ConfigDict(extra="forbid", strict=True)


WRONG_VALUES: list[dict[str, object]] = [
    {},
    dict.fromkeys(_Everything.model_fields, None),
    dict.fromkeys(_Everything.model_fields, "\0\0\0\0"),
    dict.fromkeys(_Everything.model_fields, 0),
    dict.fromkeys(_Everything.model_fields, 7.5),
    dict.fromkeys(_Everything.model_fields, ""),
    {name: [] for name in _Everything.model_fields},
    {name: [1, 2, 3] for name in _Everything.model_fields},
    {"number": 9, "fraction": 1, "moment": datetime(2026, 1, 1), "more": 1},  # noqa: DTZ001 - a naive one is refused
]


def test_every_kind_of_wrong_value_is_told_in_words_that_go_on_from_the_fields_name() -> None:
    words: dict[str, str] = {}
    for value in WRONG_VALUES:
        with pytest.raises(PydanticError) as refused:
            _Everything.model_validate(value)
        words |= {field.kind: field.message for field in told_fields(refused.value, "body")}

    assert len(words) >= 18
    assert not [text for text in words.values() if not text.startswith(("must ", "may not ", "is "))]
