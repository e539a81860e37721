"""Changes of tenants, plans, codes and devices in GraphQL: what they do, what they record, and why they are refused."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from graphql import GraphQLObjectType
from pydantic.alias_generators import to_camel
from support.admin import as_operator
from support.builders import Licensed, activated, licensed
from support.graphql import data, post, refusal
from support.live import LiveServer
from support.rows import row_counts, rows, told

from app.errors import DatabaseUnavailableError
from app.resolvers.schema import schema
from app.services.licensing import code_text, codes
from sql.tables import activation_codes, deliveries

PROBLEMS = "problems { code message remedy field path status }"


def mutation(name: str, kind: str, selection: str, argument: str = "input") -> str:
    """The document of a change with all that its problems say."""
    return f"mutation($it: {kind}!) {{ {name}({argument}: $it) {{ {PROBLEMS} {selection} }} }}"


CREATE = mutation(
    "createTenant",
    "CreateTenantInput",
    "activationCodes tenant { slug name email primaryColor subscription { state plan { name } } "
    "activationCodes { totalCount } }",
)
UPDATE = mutation("updateTenant", "UpdateTenantInput", "tenant { name email domain subscription { plan { name } } }")
DELETE = mutation("deleteTenant", "String", "deletedSlug", "slug")
PROFILE = mutation("updateProfile", "UpdateProfileInput", "tenant { slug name domain }")
DEVICE_RULES = {"deviceIdleDays": 30, "tenantMayRevoke": True, "deviceMovesPerDay": 4}
PLAN = f"plan {{ id name stripePriceId monthlyRunQuota maxDevices monthlyLlmBudget {' '.join(DEVICE_RULES)} }}"
CREATE_PLAN = mutation("createPlan", "CreatePlanInput", PLAN)
UPDATE_PLAN = mutation("updatePlan", "UpdatePlanInput", PLAN)
GENERATE = mutation(
    "generateActivationCodes",
    "GenerateActivationCodesInput",
    "codes tenant { slug activationCodes { nodes { hint label maxUses expiresAt } } }",
)
REVOKE_CODE = mutation("revokeActivationCode", "ID", "activationCode { id status }", "id")
REVOKE_DEVICE = mutation("revokeDevice", "ID", "device { id isRevoked tenant { subscription { seatsUsed } } }", "id")
RELEASE_DEVICE = mutation("releaseDevice", "ID", "device { hasSeat tenant { subscription { seatsUsed } } }", "id")
REINSTATE_DEVICE = mutation("reinstateDevice", "ID", "device { hasSeat isRevoked }", "id")


async def changed(live: LiveServer, who: dict[str, str], document: str, it: Any) -> dict[str, Any]:
    """The payload of a change; without problems it has none."""
    (payload,) = (await data(live, who, document, it=it)).values()
    return {name: value for name, value in payload.items() if name != "problems" or value}


async def events(live: LiveServer) -> list[str]:
    return [event.event_type for event in await told(live)]


def as_problems(refused: dict[str, Any]) -> list[dict[str, Any]]:
    """A problem document of HTTP as a change in GraphQL tells it."""
    told = {"code": refused["errorCode"], "status": refused["status"]}
    if "errors" not in refused:
        remedy = refused.get("remedy")
        return [{**told, "message": refused["message"], "remedy": remedy, "field": None, "path": []}]
    return [
        {**told, "message": wrong["msg"], "remedy": None, "field": ".".join(path), "path": path}
        for wrong in refused["errors"]
        if (path := [to_camel(part) for part in wrong["loc"][1:]])
    ]


async def test_a_tenant_is_admitted_changed_and_deleted(sanic_client: LiveServer, plan: str) -> None:
    owner = await as_operator(sanic_client)
    new = {"name": " Acme ", "slug": "acme", "subscriptionPlan": plan, "email": "a@example.com", "primaryColor": "#0a5"}

    admitted = await changed(sanic_client, owner, CREATE, new)

    in_clear = admitted.pop("activationCodes")
    assert len(in_clear) == 5
    assert all(code_text.normalize(code) for code in in_clear)
    subscription = {"state": "ACTIVE", "plan": {"name": plan}}
    assert admitted["tenant"] == {
        "slug": "acme",
        "name": "Acme",
        "email": "a@example.com",
        "primaryColor": "#0a5",
        "subscription": subscription,
        "activationCodes": {"totalCount": 5},
    }
    assert [row.kind for row in await rows(sanic_client, deliveries.select())] == ["welcome"]

    update = {"slug": "acme", "name": "Acme Inc.", "email": None, "domain": "acme.example"}
    after = await changed(sanic_client, owner, UPDATE, update)
    assert after["tenant"] == {
        "name": "Acme Inc.",
        "email": None,
        "domain": "acme.example",
        "subscription": {"plan": {"name": plan}},
    }
    assert await changed(sanic_client, owner, DELETE, "acme") == {"deletedSlug": "acme"}
    assert (await data(sanic_client, owner, '{ tenant(slug: "acme") { id } }'))["tenant"] is None
    trail = await events(sanic_client)
    assert [name for name in trail if name != "plan_created"] == [
        "tenant_created",
        "subscription_created",
        "code_generated",
        "tenant_updated",
        "tenant_deleted",
    ]


async def test_what_http_refuses_is_a_problem_with_the_same_code(
    sanic_client: LiveServer, plan: str, tenant: Licensed
) -> None:
    owner = await as_operator(sanic_client)
    new = {"name": "Acme", "slug": tenant.slug, "subscriptionPlan": plan}
    wrong = {**new, "slug": "No Slug", "primaryColor": "green", "otpDeliveryMethod": "fax"}
    offer = {"name": "Big", "stripePriceId": "price_big", "monthlyRunQuota": 100}
    here = f"/tenants/{tenant.slug}"
    made = {"tenantSlug": tenant.slug, "count": 1}
    asked: list[tuple[str, Any, str, str, dict[str, Any] | None]] = [
        (CREATE, new, "POST", "/tenants", new),
        (CREATE, wrong, "POST", "/tenants", wrong),
        *(
            (CREATE, one, "POST", "/tenants", one)
            for one in ({**new, "slug": "free", "subscriptionPlan": "None"}, {**new, "name": " "})
        ),
        (UPDATE, {"slug": "nobody", "name": "x"}, "PUT", "/tenants/nobody", {"name": "x"}),
        *(
            (UPDATE, {"slug": tenant.slug, **change}, "PUT", here, change)
            for change in ({"name": None}, {"logoUrl": "logo"}, {"subscriptionPlan": "None"})
        ),
        (DELETE, "nobody", "DELETE", "/tenants/nobody", None),
        *(
            (CREATE_PLAN, one, "POST", "/plans", one)
            for one in (
                {**offer, "name": plan},
                {**offer, "stripePriceId": "price_pro"},
                {**offer, "monthlyRunQuota": -1, "monthlyLlmBudget": -1},
            )
        ),
        (UPDATE_PLAN, {"id": "999999", "name": "x"}, "PUT", "/plans/999999", {"name": "x"}),
        *(
            (GENERATE, {**made, **more}, "POST", "/codes/generate", {"tenant_slug": slug, **sent})
            for more, slug, sent in (
                ({"count": 101}, tenant.slug, {"count": 101}),
                ({"maxUses": 0}, tenant.slug, {"max_uses": 0}),
                ({"tenantSlug": "nobody"}, "nobody", {}),
            )
        ),
        (REVOKE_CODE, "999999", "DELETE", "/codes/999999", None),
        (REVOKE_DEVICE, "999999", "DELETE", "/devices/999999", None),
    ]
    before, trail = await row_counts(sanic_client), await told(sanic_client)

    for document, it, method, path, body in asked:
        payload = await changed(sanic_client, owner, document, it)
        refused = await sanic_client.http.request(method, f"/admin/api{path}", headers=owner, json=body)
        assert payload.pop("problems") == as_problems(refused.json()), (path, body)
        assert all(value in (None, []) for value in payload.values()), payload

    assert (await row_counts(sanic_client), await told(sanic_client)) == (before, trail)


async def test_a_tenant_changes_its_own_profile(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    after = await changed(sanic_client, mine, PROFILE, {"name": "New", "domain": "new.example"})
    wrong = await changed(sanic_client, mine, PROFILE, {"name": " "})

    assert after["tenant"] == {"slug": tenant.slug, "name": "New", "domain": "new.example"}
    assert (wrong["tenant"], [one["path"] for one in wrong["problems"]]) == (None, [["name"]])
    last = (await told(sanic_client))[-1]
    assert (last.event_type, last.actor_type, last.tenant_id) == ("tenant_updated", "tenant", tenant.tenant_id)


async def test_plans_are_offered_and_changed(sanic_client: LiveServer) -> None:
    owner = await as_operator(sanic_client)
    new = {"name": "Big", "stripePriceId": "price_big", "monthlyRunQuota": 100, "monthlyLlmBudget": 12.5}

    new |= DEVICE_RULES
    made = (await changed(sanic_client, owner, CREATE_PLAN, new))["plan"]
    update = {"id": made["id"], "maxDevices": 3, "monthlyLlmBudget": None, "deviceMovesPerDay": None}
    after = (await changed(sanic_client, owner, UPDATE_PLAN, update))["plan"]

    assert made == {**new, "id": made["id"], "maxDevices": None}
    assert after == {**made, "maxDevices": 3, "monthlyLlmBudget": None, "deviceMovesPerDay": None}
    assert await events(sanic_client) == ["plan_created", "plan_updated"]


async def test_codes_are_made_shown_once_and_revoked(sanic_client: LiveServer, tenant: Licensed) -> None:
    operator = await as_operator(sanic_client, "operator")
    new = {"tenantSlug": tenant.slug, "count": 2, "label": "Fair", "maxUses": 5, "ttlDays": None}

    made = await changed(sanic_client, operator, GENERATE, new)
    listed = made["tenant"]["activationCodes"]["nodes"]
    ids = [row.id for row in await rows(sanic_client, activation_codes.select().order_by(activation_codes.c.id.desc()))]
    revoked = await changed(sanic_client, operator, REVOKE_CODE, str(ids[0]))

    assert {code[-4:] for code in made["codes"]} == {code["hint"] for code in listed[:2]}
    assert listed[0].items() >= {"label": "Fair", "maxUses": 5, "expiresAt": None}.items()
    assert revoked == {"activationCode": {"id": str(ids[0]), "status": "REVOKED"}}
    shown = await post(sanic_client, operator, "{ activationCodes { nodes { id hint label status } } }")
    assert not any(code in shown.text for code in (*made["codes"], *tenant.codes))
    assert (await events(sanic_client))[-2:] == ["code_generated", "code_revoked"]


async def test_a_device_is_revoked_and_its_seat_is_free(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    operator = await as_operator(sanic_client, "operator")

    revoked = await changed(sanic_client, operator, REVOKE_DEVICE, str(device.device_id))
    again = await changed(sanic_client, operator, REVOKE_DEVICE, str(device.device_id))
    wrong = await changed(sanic_client, operator, REVOKE_DEVICE, "x")

    assert revoked == again
    assert revoked["device"] == {
        "id": str(device.device_id),
        "isRevoked": True,
        "tenant": {"subscription": {"seatsUsed": 0}},
    }
    assert [(one["code"], one["path"]) for one in wrong["problems"]] == [("validation_error", ["id"])]
    assert (await events(sanic_client)).count("device_revoked") == 1
    assert (await sanic_client.http.get("/licenses/policy", headers=device.headers)).status_code in {401, 404}


async def test_each_change_of_a_document_sees_the_one_before(sanic_client: LiveServer, tenant: Licensed) -> None:
    operator = await as_operator(sanic_client)
    device = await activated(sanic_client, await licensed(sanic_client, max_uses=9))
    document = """mutation($id: ID!, $update: UpdateTenantInput!) {
      updateTenant(input: $update) { tenant { ...Seen } }
      revokeDevice(id: $id) { device { tenant { ...Seen } } } }
      fragment Seen on Tenant { name devices { nodes { isRevoked } } subscription { seatsUsed } }"""

    found = await data(
        sanic_client,
        operator,
        document,
        id=str(device.device_id),
        update={"slug": device.tenant.slug, "name": "Other"},
    )

    before, after = found["updateTenant"]["tenant"], found["revokeDevice"]["device"]["tenant"]
    assert before == {"name": "Other", "devices": {"nodes": [{"isRevoked": False}]}, "subscription": {"seatsUsed": 1}}
    assert after == {"name": "Other", "devices": {"nodes": [{"isRevoked": True}]}, "subscription": {"seatsUsed": 0}}


async def test_devices_are_released_and_reinstated(sanic_client: LiveServer) -> None:
    operator = await as_operator(sanic_client)
    device = await activated(sanic_client, await licensed(sanic_client, max_uses=9))
    device_id = str(device.device_id)

    released = await changed(sanic_client, operator, RELEASE_DEVICE, device_id)
    await changed(sanic_client, operator, REVOKE_DEVICE, device_id)
    reinstated = await changed(sanic_client, operator, REINSTATE_DEVICE, device_id)

    assert released == {"device": {"hasSeat": False, "tenant": {"subscription": {"seatsUsed": 0}}}}
    assert reinstated == {"device": {"hasSeat": False, "isRevoked": False}}
    assert (await events(sanic_client))[-3:] == ["device_released", "device_revoked", "device_reinstated"]


async def test_a_change_with_a_key_is_made_once(sanic_client: LiveServer, tenant: Licensed) -> None:
    keyed = {**await as_operator(sanic_client), "idempotency-key": "the-same"}
    new = {"tenantSlug": tenant.slug, "count": 2}

    first, again = [await post(sanic_client, keyed, GENERATE, it=new) for _ in range(2)]
    other = await refusal(sanic_client, keyed, GENERATE, it={**new, "count": 3})
    read = [await post(sanic_client, keyed, "{ plans { totalCount } }") for _ in range(2)]

    assert len(first.json()["data"]["generateActivationCodes"]["codes"]) == 2
    assert again.content == first.content
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert other["extensions"]["code"] == "idempotency_conflict"
    assert [(answer.status_code, "idempotent-replayed" in answer.headers) for answer in read] == [(200, False)] * 2
    assert len(await rows(sanic_client, activation_codes.select())) == 1 + 2


async def test_a_change_that_failed_of_our_own_fault_is_made_when_it_is_sent_again(
    sanic_client: LiveServer, tenant: Licensed
) -> None:
    keyed = {**await as_operator(sanic_client), "idempotency-key": "another"}
    with patch.object(codes, "code_rows", side_effect=DatabaseUnavailableError):
        failed = await refusal(sanic_client, keyed, GENERATE, it={"tenantSlug": tenant.slug})

    again = await changed(sanic_client, keyed, GENERATE, {"tenantSlug": tenant.slug})

    assert (failed["extensions"]["status"], failed["path"]) == (503, ["generateActivationCodes"])
    assert len(again["codes"]) == 1


async def test_who_may_not_is_refused_as_anywhere_else(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    device = await activated(sanic_client)
    before, trail = await row_counts(sanic_client), await told(sanic_client)
    operator, reader = await as_operator(sanic_client, "operator"), await as_operator(sanic_client, "read_only")
    plan = {"name": "Big", "stripePriceId": "price_big", "monthlyRunQuota": 100}
    asked: list[tuple[dict[str, str], str, Any, str]] = [
        (operator, DELETE, tenant.slug, "permission_missing"),
        (operator, CREATE_PLAN, plan, "permission_missing"),
        (reader, GENERATE, {"tenantSlug": tenant.slug}, "permission_missing"),
        (reader, REVOKE_DEVICE, str(device.device_id), "permission_missing"),
        (reader, PROFILE, {"name": "x"}, "session_missing"),
        (mine, UPDATE, {"slug": tenant.slug, "name": "x"}, "operator_missing"),
        (mine, DELETE, tenant.slug, "operator_missing"),
        (mine, REVOKE_DEVICE, str(device.device_id), "operator_missing"),
    ]
    for who, document, it, code in asked:
        error = await refusal(sanic_client, who, document, it=it)
        assert error["extensions"]["code"] == code

    for field in ("plans { nodes { id } }", "tenants { nodes { id } }", 'plan(id: "1") { id }'):
        assert (await refusal(sanic_client, mine, f"{{ {field} }}"))["extensions"]["code"] == "operator_missing"
    secret = await post(
        sanic_client, mine, "{ tenant { slug subscription { stripeCustomerId plan { name stripePriceId } } } }"
    )
    assert {error["path"][-1] for error in secret.json()["errors"]} == {"stripeCustomerId", "stripePriceId"}
    after = await row_counts(sanic_client)
    assert {name: count for name, count in after.items() if name != "api_tokens"} == {
        name: count for name, count in before.items() if name != "api_tokens"
    }
    assert await told(sanic_client) == trail


def test_no_field_shows_what_is_secret() -> None:
    """A code's text is in what its creation answers, and nowhere else."""
    kinds = {name: kind for name, kind in schema().type_map.items() if isinstance(kind, GraphQLObjectType)}
    shown = {f"{name}.{field}" for name, kind in kinds.items() for field in kind.fields}
    in_clear = {name for name in shown if name.endswith((".codes", ".code", ".activationCodes"))}

    # Tokens of models are what their texts are counted in.
    shown -= {"LlmCall.inputTokens", "LlmCall.outputTokens", "ProjectSettings.maxTokensOverride"}
    assert not {name for name in shown if any(word in name.lower() for word in ("hash", "secret", "token", "sealed"))}
    assert in_clear == {
        "CreateTenantPayload.activationCodes",
        "GenerateActivationCodesPayload.codes",
        "Problem.code",
        "Query.activationCodes",
        "Tenant.activationCodes",
    }
