"""A number has one text: in every path, query, id and form what only int() takes for a number is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import quote, unquote

import pytest
from httpx2 import Response
from support.admin import as_operator, as_tenant
from support.builders import activated
from support.contract import OPERATIONS, accepts, address, body_of, headers_of, label, sample
from support.graphql import post
from support.live import LiveServer, live_server
from support.operators import signed_in
from support.pages import fields_of, submit, table_on
from support.rows import rows

from app.contract.api_document import Operation
from app.contract.fields import _whole_numbers
from app.settings import Settings
from sql.tables import devices

# Of 17, as parts of an address.
OTHERS = (
    "1_7",
    "+17",
    "017",
    "1%37",
    "%31%37",
    "-17",
    "17.0",
    "1e1",
    quote("\uff11\uff17"),
    quote(" 17"),
    "17%20",
    "17%0A",
)
CALLERS = ("owner token", "tenant session", "device")
NUMBERED = tuple(operation for operation in OPERATIONS if operation.numbers_in_path)
QUERIED = tuple((operation, operation.query) for operation in OPERATIONS if operation.query is not None)


@pytest.fixture
async def unlimited(settings: Settings) -> AsyncIterator[LiveServer]:
    """A server that counts no requests."""
    async with live_server(settings.model_copy(update={"rate_limits": "off"})) as live:
        yield live


async def callers(live: LiveServer) -> dict[str, dict[str, str]]:
    """Who asks, by what the operations accept."""
    return {caller: await headers_of(live, caller) for caller in CALLERS}


def lets_in(operation: Operation, who: dict[str, dict[str, str]]) -> dict[str, str]:
    """The headers of somebody whom the operation lets in."""
    return next((headers for caller, headers in who.items() if accepts(operation, caller)), {})


async def test_a_number_in_a_path_is_digits_alone(unlimited: LiveServer) -> None:
    who, wrong = await callers(unlimited), []
    assert len(NUMBERED) > 10
    for operation in NUMBERED:
        body = body_of(operation)
        sent = {} if body is None else {"json": body}

        async def ask(text: str, operation: Operation = operation, sent: dict[str, object] = sent) -> Response:
            path = operation.path
            for name in operation.numbers_in_path:
                path = path.replace(f"{{{name}}}", text)
            path = address(replace(operation, path=path))
            return await unlimited.http.request(operation.method, path, headers=lets_in(operation, who), **sent)

        # One that there is not is told as such, so the others were taken for no number at all.
        if (await ask("17")).json()["errorCode"] == "not_found":
            wrong.append(f"{label(operation)}: 17 is no number either")
        for text in OTHERS:
            answer = await ask(text)
            if (answer.status_code, answer.json()["errorCode"]) != (404, "not_found"):
                wrong.append(f"{label(operation)} {text}: {answer.status_code} {answer.text[:120]}")

    assert wrong == []


def test_no_route_reads_its_numbers_in_another_way(sanic_client: LiveServer) -> None:
    parts = [part for route in sanic_client.app.router.routes for part in route.params.values()]

    assert {part.label for part in parts} == {"str", "int", "path"}
    for cast in {part.cast for part in parts if part.label == "int"}:
        assert (cast("17"), cast("0")) == (17, 0)
        for text in (*map(unquote, OTHERS), "", "00", "1 7", "17\n"):
            with pytest.raises(ValueError, match="whole number"):
                cast(text if text != "17" else "017")


async def test_a_number_in_a_query_is_digits_alone(unlimited: LiveServer) -> None:
    who, tried, wrong = await callers(unlimited), 0, []
    for operation, query in QUERIED:
        schema = query.model_json_schema()
        sound = sample(schema, schema.get("$defs", {}))
        for name in _whole_numbers(query) & schema["properties"].keys():
            for text in (quote("1_0"), "%2B1", "01", "1.0", "%201", "1%0A", "-0", quote("\uff11")):
                others = "".join(f"&{one}={quote(str(value))}" for one, value in sound.items() if one != name)
                answer = await unlimited.http.request(
                    operation.method,
                    f"{address(operation)}?{name}={text}{others}",
                    headers=lets_in(operation, who),
                )
                tried += 1
                told = answer.json()
                if answer.status_code != 422 or not any(each["loc"][:2] == ["query", name] for each in told["errors"]):
                    wrong.append(f"{label(operation)} {name}={text}: {answer.status_code} {answer.text[:120]}")

    assert wrong == []
    assert tried > 100


async def test_another_text_of_its_number_changes_no_device(sanic_client: LiveServer) -> None:
    headers, device = await as_operator(sanic_client), await activated(sanic_client)
    session = await as_tenant(sanic_client, device.tenant.tenant_id)
    number = str(device.device_id)
    texts = (f"0{number}", f"+{number}", f"-{number}", f"{number}_", f"0_{number}", f"%3{number[0]}{number[1:]}")

    answers = []
    for text in texts:
        answers.append(await sanic_client.http.delete(f"/admin/api/devices/{text}", headers=headers))
        answers.append(await sanic_client.http.post(f"/admin/api/devices/{text}/release", headers=headers))
        answers.append(await sanic_client.http.post(f"/api/tenant/devices/{text}/release", headers=session))
    seen = await post(sanic_client, headers, "query($id: ID!) { device(id: $id) { id } }", id=f"0{number}")
    change = "mutation($id: ID!) { revokeDevice(id: $id) { problems { code } } }"
    problems = [(await post(sanic_client, headers, change, id=text)).json() for text in (f"0{number}", f"+{number}")]

    assert {answer.status_code for answer in answers} == {404}
    assert seen.json()["data"]["device"] is None
    assert seen.json()["errors"][0]["message"]
    assert {each["data"]["revokeDevice"]["problems"][0]["code"] for each in problems} == {"validation_error"}
    ((is_revoked, seat_held),) = await rows(
        sanic_client, devices.select().with_only_columns(devices.c.is_revoked, devices.c.seat_held)
    )
    assert (is_revoked, seat_held) == (False, True)


async def test_a_number_in_a_form_is_digits_alone(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    slug, number = device.tenant.slug, str(device.device_id)
    async with signed_in(sanic_client) as person:
        page = await person.get(f"/admin/devices?tenant={slug}")
        asked = await person.get("/admin/devices/revoke", params=fields_of(page, "/admin/devices/revoke"))
        revoked = [
            await submit(person, asked, "/admin/devices/revoke", device_id=text)
            for text in (f"0{number}", f"+{number}", f"{number} ")
        ]
        codes = await person.get(f"/admin/codes?tenant={slug}")
        made = [await submit(person, codes, "/admin/codes/generate", count=text) for text in ("1_0", "+3", "03")]
        typed = await submit(person, codes, "/admin/codes/generate", count=" 3 ")
        first = await person.get(f"/admin/codes?tenant={slug}&page=02")

    assert [answer.status_code for answer in revoked] == [404] * 3
    assert [(answer.status_code, "must be a whole number" in answer.text) for answer in made] == [(422, True)] * 3
    assert (typed.status_code, len(table_on(typed))) == (201, 4)
    assert len(table_on(first)) == 4
