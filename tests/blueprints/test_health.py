"""Health, figures, keys and documents: what operators, machines and readers look at."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families
from support.builders import activate, activated, licensed, report, run_event
from support.clocks import MovableClock
from support.live import LiveServer
from support.refusals import Findings
from support.rows import change
from support.statements import counted_statements

from app.server import PAGES
from app.services import readiness
from app.services.licensing.signing_keys import rotate_keys
from sql.tables.workers import alembic_version, errand_calls, worker_heartbeats

READY = {"status": "ready", "signing_keys": 1, "work_processes": 0, "errand_wait_seconds": 0}


async def figures(live: LiveServer) -> dict[str, float]:
    """Every sample of the figures by name and labels."""
    text = (await live.http.get("/metrics")).text
    return {
        f"{sample.name}{sorted(sample.labels.values())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_server_that_lives_says_so(sanic_client: LiveServer) -> None:
    answer = await sanic_client.http.get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_server_that_can_work_says_so(sanic_client: LiveServer) -> None:
    answer = await sanic_client.http.get("/readyz")

    assert (answer.status_code, answer.json()) == (200, READY)


async def test_a_server_tells_who_works_and_how_long_an_errand_has_waited(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    beat = {"executor_id": "there", "host": "there", "started_at": clock.now(), "beat_at": clock.now()}
    await change(sanic_client, worker_heartbeats.insert().values(beat))
    for row_id in (1, 2):
        await change(sanic_client, errand_calls.insert().values(errand="note", row_id=row_id, called_at=clock.now()))
        clock.move(seconds=15)

    both = [(await sanic_client.http.get("/readyz")).json()]
    await change(sanic_client, worker_heartbeats.update().values(beat_at=clock.now()))
    both.append((await sanic_client.http.get("/readyz")).json())

    assert both == [
        {**READY, "work_processes": 0, "errand_wait_seconds": 30},
        {**READY, "work_processes": 1, "errand_wait_seconds": 30},
    ]


@pytest.fixture
async def at_migration(sanic_client: LiveServer) -> AsyncIterator[Callable[[str], Awaitable[int]]]:
    """Says that the database is at another migration, until the test has ended."""

    def say(revision: str) -> Awaitable[int]:
        return change(sanic_client, alembic_version.update().values(version_num=revision))

    yield say
    await say(readiness.NEEDED)


async def test_a_server_whose_database_is_behind_is_not_ready(
    sanic_client: LiveServer, at_migration: Callable[[str], Awaitable[int]]
) -> None:
    """One that was restored from a copy of last month's, for example."""
    findings = Findings()
    for revision, name in (("0003", "0003"), ("", "none")):
        assert await at_migration(revision) == 1
        answer = await sanic_client.http.get("/readyz")
        problem = answer.json()
        found = (answer.status_code, problem.get("errorCode"), answer.headers.get("retry-after"))
        words = f"The database is at migration {name}, this version needs {readiness.NEEDED}."
        findings.add(name, (found, problem.get("message")), ((503, "schema_behind", "1"), words))

    assert findings.found == findings.expected


async def test_a_server_whose_database_a_newer_one_has_migrated_stays_ready(
    sanic_client: LiveServer, at_migration: Callable[[str], Awaitable[int]]
) -> None:
    assert await at_migration("9999") == 1

    with counted_statements(sanic_client.runtime.db) as statements:
        answer = await sanic_client.http.get("/readyz")

    assert (answer.status_code, answer.json()) == (200, READY)
    # PostgreSQL is asked as well whether work may be done.
    assert len(statements) == (1 if sanic_client.runtime.db.is_sqlite else 2)


async def test_keys_that_verify_no_more_are_not_counted(sanic_client: LiveServer, clock: MovableClock) -> None:
    await rotate_keys(sanic_client.ctx)
    both = await sanic_client.http.get("/readyz")
    clock.move(days=30)

    newest = await sanic_client.http.get("/readyz")

    assert [answer.json()["signing_keys"] for answer in (both, newest)] == [2, 1]


async def test_the_figures_count_what_happened(sanic_client: LiveServer) -> None:
    before = await figures(sanic_client)
    device = await activated(sanic_client, await licensed(sanic_client))
    await activate(sanic_client, device.tenant, "other-hardware")
    await report(sanic_client, device, run_event("a"), run_event("a"))
    await sanic_client.http.get("/licenses/policy", headers=device.headers)

    after = await figures(sanic_client)

    counted = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    assert counted["portal_activations_total['activated']"] == 1
    assert counted["portal_activations_total['activation_code_used_up']"] == 1
    assert counted["portal_usage_events_total['accepted']"] == 1
    assert counted["portal_usage_events_total['duplicate']"] == 1
    assert counted["portal_request_seconds_count['/authz/activate', '200', 'POST']"] == 1
    assert counted["portal_request_seconds_count['/authz/activate', '400', 'POST']"] == 1
    assert counted["portal_request_seconds_count['/licenses/policy', '200', 'GET']"] == 1
    assert counted["portal_batch_size_count['usage_events']"] == 1


async def test_the_figures_name_no_tenant_and_no_device(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    await sanic_client.http.get(f"/usage/{device.tenant.slug}", headers=device.headers)

    text = (await sanic_client.http.get("/metrics")).text

    assert "/usage/{tenant_slug}" in text
    assert device.tenant.slug not in text


@pytest.fixture(scope="module")
def openapi_rules() -> Any:
    """What an OpenAPI document is; whoever runs other tests need not wait for the library that knows it."""
    from schemathesis.specs.openapi.definitions import OPENAPI_31

    return OPENAPI_31


async def test_the_document_is_valid_openapi(openapi_rules: Any, sanic_client: LiveServer) -> None:
    document = (await sanic_client.http.get("/openapi.json")).json()

    Draft202012Validator(openapi_rules).validate(document)
    assert document["openapi"] == "3.1.0"


UNLISTED = ("/", "/docs", "/openapi.json", "/.well-known/jwks.json", "/dev/mailbox", "/favicon.ico")


async def test_the_document_lists_every_route_and_resolves(sanic_client: LiveServer) -> None:
    answer = await sanic_client.http.get("/openapi.json")

    document = answer.json()
    served = {
        (method, re.sub(r"<(\w+):(?:str|int)>", r"{\1}", f"/{route.path}"))
        for route in sanic_client.app.router.routes
        for method in route.methods - {"HEAD"}
        if not route.path.startswith("static/")
    }
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    unlisted = {("GET", path) for path in UNLISTED}
    # Stripe's simulator answers as Stripe does, and only in development.
    served = {(method, path) for method, path in served if not path.startswith("/dev/stripe")}
    # The graph describes itself.
    unlisted |= {(method, "/graphql") for method in ("GET", "POST")}
    unlisted |= {(page.method, page.path) for pages in PAGES for page in pages.pages}
    assert served == described | unlisted
    names = set(re.findall(r'"#/components/schemas/(\w+)"', answer.text))
    assert len(names) > 10
    assert names <= document["components"]["schemas"].keys()


async def test_every_operation_is_explained(sanic_client: LiveServer) -> None:
    document = (await sanic_client.http.get("/openapi.json")).json()

    parameters = []
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path
            assert operation["responses"].keys() & {"200", "201", "202", "204"}, path
            assert "500" in operation["responses"], path
            parameters += operation.get("parameters", [])
    assert len(parameters) > 10
    assert [parameter for parameter in parameters if not parameter["description"]] == []


async def test_the_page_and_its_files_load_nothing_from_elsewhere(sanic_client: LiveServer) -> None:
    page = await sanic_client.http.get("/docs")

    loaded = re.findall(r"""(?:src|href)=["']([^"'#][^"']*)["']""", page.text)
    assert loaded
    assert not [address for address in loaded if not address.startswith("/")]
    for address in loaded:
        # As a browser asks, which is shown pages.
        answer = await sanic_client.http.get(address, headers={"accept": "text/html,*/*"})
        assert answer.status_code == 200, address
    assert "default-src 'self'" in page.headers["content-security-policy"]
    css = (await sanic_client.http.get("/static/docs.css")).text
    assert "http" not in css
    assert "@import" not in css


async def test_a_change_has_no_defaults_that_a_program_could_send(sanic_client: LiveServer) -> None:
    document = (await sanic_client.http.get("/openapi.json")).json()
    bodies = [
        path["put"]["requestBody"]["content"]["application/json"]
        for path in document["paths"].values()
        if "put" in path
    ]
    schemas = [document["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]] for body in bodies]

    # Of prices and of the system all members are sent.
    assert len(schemas) == 8
    assert [name for schema in schemas for name, member in schema["properties"].items() if "default" in member] == []


async def test_every_operation_can_be_tried_on_a_page_with_one_title(sanic_client: LiveServer) -> None:
    page = (await sanic_client.http.get("/docs")).text
    script = (await sanic_client.http.get("/static/docs.js")).text
    described = (await sanic_client.http.get("/openapi.json")).json()["paths"]

    offered = set(re.findall(r'"(\w+)"', script.partition("supportedSubmitMethods")[2]))
    assert {method for operations in described.values() for method in operations} <= offered
    assert page.count("<h1>") == 1


async def test_a_file_that_is_known_is_not_sent_again(sanic_client: LiveServer) -> None:
    first = await sanic_client.http.get("/static/docs.css")

    second = await sanic_client.http.get("/static/docs.css", headers={"if-none-match": first.headers["etag"]})

    assert (first.status_code, second.status_code, second.content) == (200, 304, b"")


async def test_the_icon_is_where_browsers_look_for_it(sanic_client: LiveServer) -> None:
    named, sought = [await sanic_client.http.get(path) for path in ("/static/icon.svg", "/favicon.ico")]

    assert (sought.status_code, sought.headers["content-type"]) == (200, "image/svg+xml; charset=utf-8")
    assert sought.content == named.content


async def test_the_root_leads_people_to_the_pages_and_programs_to_the_documentation(sanic_client: LiveServer) -> None:
    findings = Findings()
    for accept, place in (("*/*", "/docs"), ("text/html,*/*", "/admin")):
        answer = await sanic_client.http.get("/", headers={"accept": accept})
        found = (answer.status_code, answer.headers.get("location"), answer.headers.get("vary"))
        findings.add(accept, found, (302, place, "accept, origin"))

    assert findings.found == findings.expected


async def test_public_addresses_need_no_token(sanic_client: LiveServer) -> None:
    paths = ("/healthz", "/openapi.json", "/.well-known/jwks.json", "/docs")

    assert {path: (await sanic_client.http.get(path)).status_code for path in paths} == dict.fromkeys(paths, 200)
