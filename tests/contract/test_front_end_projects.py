"""What both front ends ask about projects, call by call: sent as they send it, and read as strictly as they read it."""

from __future__ import annotations

from typing import Any

from support.admin import as_operator, as_tenant, operator_cookie
from support.builders import licensed
from support.live import LiveServer
from support.projects import LLM_PLACE, PLACE, assign, created
from support.rows import change
from support.shapes import moment, optional, text, whole, words, wrong_in

from sql.tables import agent_settings


def flag(value: Any) -> bool:
    return isinstance(value, bool)


STATUSES = {"pending", "running", "completed", "failed", "paused"}
PROJECT = {
    "projectId": words,
    "clientName": words,
    "description": optional(text),
    "customInstructions": optional(text),
    "isActive": flag,
    "executionStatus": lambda status: status in STATUSES,
    "showCompletionModal": flag,
    "activationCodeId": optional(whole),
    "createdAt": moment,
    "updatedAt": moment,
}
PROMPT = {"agentType": words, "customPrompt": optional(text), "customInstructions": optional(text), "enabled": flag}
OPERATORS_PROJECT = {
    **PROJECT,
    "priority": lambda priority: priority in {"low", "normal", "high", "critical"},
    "tenantId": whole,
    "tenantName": words,
    "tenantSlug": words,
    "agentPrompts": [PROMPT],
}
PAGER = dict.fromkeys(("total", "page", "pageSize"), whole)
READ = {
    "getProjects": f"{LLM_PLACE}?page=1&page_size=10",
    "getProjects with a search": f"{LLM_PLACE}?page=1&page_size=100&search=hat",
    "analytics": f"{LLM_PLACE}?page=1&page_size=100",
    "overview": f"{LLM_PLACE}?page=1&page_size=25&search=HAT",
    "configuration": f"{LLM_PLACE}?page_size=100",
}
READ_BY_TENANT = {
    **{f"projects list of {size}": f"{PLACE}?page=1&page_size={size}" for size in (10, 20, 50, 100)},
    "projects list with a search": f"{PLACE}?page=1&page_size=20&search=ha",
    "status page": f"{PLACE}?page=1&page_size=100&search=shop",
}


async def test_operators_pages_read_projects(sanic_client: LiveServer) -> None:
    project, now = await created(sanic_client, await licensed(sanic_client)), sanic_client.ctx.now()
    row = {"project_id": project["projectId"], "agent_type": "coder", "created_at": now, "updated_at": now}
    await change(sanic_client, agent_settings.insert().values(**row))
    cookie = await operator_cookie(sanic_client, origin=None)

    wrong = []
    for name, path in READ.items():
        answer = await sanic_client.http.get(path, headers=cookie)
        assert answer.status_code == 200, (name, answer.text)
        wrong += [f"{name}{place}" for place in wrong_in(answer.json(), {"items": [OPERATORS_PROJECT], **PAGER})]

    assert wrong == []


async def test_operators_projects_are_changed_and_deleted_as_the_pages_do_it(sanic_client: LiveServer) -> None:
    await created(sanic_client, await licensed(sanic_client))
    sent = await operator_cookie(sanic_client, origin="http://localhost:3002")
    form = {"clientName": "Hats", "description": "d", "customInstructions": "c", "isActive": True, "priority": "high"}

    put = await sanic_client.http.put(f"{LLM_PLACE}/hat-shop", headers=sent, json=form)
    assert (put.status_code, {name: put.json()[name] for name in form}) == (200, form)
    assert wrong_in(put.json(), {**PROJECT, "agentPrompts": lambda prompts: prompts == []}) == []
    # A version in the body would come back with what was read.
    assert {"version", "etag"} & put.json().keys() == set()
    for body in ({"projectId": "hat-shop", "clientName": "Other"},):
        taken = await sanic_client.http.post(LLM_PLACE, headers=sent, json=body)
        assert (taken.status_code, "already exists" in taken.json()["detail"]) == (400, True)
        assert "Project with ID hat-shop" in taken.json()["message"]
    answers = [await sanic_client.http.delete(f"{LLM_PLACE}/hat-shop", headers=sent) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 404]
    assert words(answers[1].json()["detail"])


async def test_tenants_pages_read_projects(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    await created(sanic_client, tenant)
    session = await as_tenant(sanic_client, tenant.tenant_id)

    wrong = []
    for name, path in READ_BY_TENANT.items():
        answer = await sanic_client.http.get(path, headers=session)
        assert answer.status_code == 200, (name, answer.text)
        shape = {"items": [PROJECT], "total": whole, "total_pages": lambda pages: pages == 1}
        wrong += [f"{name}{place}" for place in wrong_in(answer.json(), shape)]

    assert wrong == []


async def test_a_tenants_project_lives_as_its_pages_do_it(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    mine, http = await as_tenant(sanic_client, tenant.tenant_id), sanic_client.http
    form = {"name": "Hat Shop", "client_name": "Acme", "description": "A shop", "objectives": "Sell"}

    made = await http.post(PLACE, headers=mine, json=form)
    assert (made.status_code, wrong_in(made.json(), PROJECT)) == (201, [])
    # What the button to run needs, and what hides it.
    assert (made.json()["clientName"], made.json()["executionStatus"]) == ("Acme", "pending")
    place = f"{PLACE}/{made.json()['projectId']}"
    one = await http.get(place, headers=mine)
    assert (one.status_code, one.json()) == (200, made.json())
    edited = {"client_name": "Acme Ltd", "description": None, "custom_instructions": None, "is_active": False}
    saved = await http.put(place, headers=mine, json=edited)
    assert (saved.status_code, wrong_in(saved.json(), PROJECT)) == (200, [])
    assert (saved.json()["clientName"], saved.json()["description"], saved.json()["isActive"]) == (
        "Acme Ltd",
        None,
        False,
    )
    coded = await assign(sanic_client, mine, made.json()["projectId"], tenant.codes[0])
    assert (coded.status_code, wrong_in(coded.json(), {**PROJECT, "activationCodeId": whole})) == (200, [])
    again = await assign(sanic_client, mine, made.json()["projectId"], tenant.codes[0])
    assert (again.status_code, words(again.json()["detail"])) == (400, True)
    hidden = await http.patch(f"{place}/completion-modal-preference?show_modal=false", headers=mine)
    assert (hidden.status_code, hidden.json()["success"]) == (200, True)
    assert (await http.get(PLACE, headers=mine)).json()["items"][0]["showCompletionModal"] is False
    deleted = [await http.delete(place, headers=mine) for _ in range(2)]
    assert [answer.status_code for answer in deleted] == [204, 404]
    assert words(deleted[1].json()["detail"])


async def test_refusals_are_told_as_the_tenants_pages_read_them(sanic_client: LiveServer) -> None:
    """A string, or a list of what is wrong with which field."""
    tenant = await licensed(sanic_client, state="canceled")
    mine = await as_tenant(sanic_client, tenant.tenant_id)
    form = {"name": "Hat Shop", "description": "A shop", "objectives": "Sell"}

    answers = {
        403: await sanic_client.http.post(PLACE, headers=mine, json=form),
        400: await sanic_client.http.post(PLACE, headers=mine, json={"name": "Hat Shop"}),
        404: await sanic_client.http.get(f"{PLACE}/other", headers=mine),
        401: await sanic_client.http.get(PLACE, headers={"x-session-token": "ended"}),
        422: await sanic_client.http.post(PLACE, headers=mine, json={**form, "budget": 1}),
    }

    assert {status: answer.status_code for status, answer in answers.items()} == {status: status for status in answers}
    told = {status: answer.json()["detail"] for status, answer in answers.items()}
    assert told.pop(422) == [{"loc": ["body", "budget"], "msg": "is not known here", "type": "extra_forbidden"}]
    assert all(map(words, told.values()))


async def test_a_program_may_read_what_a_tenant_shows(sanic_client: LiveServer) -> None:
    project = await created(sanic_client, await licensed(sanic_client))
    answer = await sanic_client.http.get(f"{LLM_PLACE}/hat-shop", headers=await as_operator(sanic_client, "read_only"))

    shown = answer.json()
    assert {name: shown[name] for name in project} == project
    assert shown.keys() - project.keys() == {"runDenial"}
