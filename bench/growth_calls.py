"""The calls whose time must not grow with the database: every list, order, filter and figure of the admin API.

Not held to the bar is what reads more rows in the larger database because more is found: a search that finds a
thousand here finds ten thousand there, where counting ends. Filters of the log of models are held to it where they find
more than ten thousand in both, which are calls of the busy tenant of ``bench.growth``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.cursors import cursor_of, place_at
from bench.growth_models import BUSY_AGENT, BUSY_PROVIDER, CALL_DAYS, project_ids
from bench.growth_names import tenant_name

STATES = ("active", "trialing", "past_due", "canceled", "unpaid", "suspended", "none")
CODE_STATES = ("active", "used", "expired", "revoked")
SORTS = ("name", "slug", "created_at", "updated_at", "usage_current")
# Three words, which a few tenants share.
NAME = tenant_name(777).replace(" ", "+")
EVENT = "code_activated"
SINCE = "2020-01-01T00:00:00Z"
# Far behind the first page of the log, by its cursor.
DEEP = cursor_of(place_at(datetime.now(UTC) - timedelta(days=CALL_DAYS * 2 // 3)))
PROJECT = project_ids(777)[0]


@dataclass(frozen=True)
class Call:
    """A request and its name in the table."""

    name: str
    path: str
    is_held: bool = True
    under: str = "/admin/api"
    # The total is counted, which takes the longer the larger it is: only equal ones are compared.
    is_counted: bool = False

    @property
    def address(self) -> str:
        """Where it is sent."""
        return self.under + self.path


def of_models(name: str, path: str, *, is_held: bool = True) -> Call:
    """A request about models."""
    return Call(name, path, is_held, "/api/llm")


def of_log(name: str, query: str, *, is_held: bool = True) -> Call:
    """A filter of the log of models."""
    return Call(name, f"/logs{query}", is_held, "/api/llm", is_counted=is_held)


CALLS = (
    Call("tenants", "/tenants"),
    *(
        Call(f"tenants by {field} {way}", f"/tenants?sort_field={field}&sort_direction={way}")
        for field in SORTS
        for way in ("asc", "desc")
    ),
    Call("tenants, page 40", "/tenants?page=40"),
    *(Call(f"tenants, {state}", f"/tenants?status={state}") for state in STATES),
    Call("tenants, active by usage", "/tenants?status=active&sort_field=usage_current"),
    Call("tenants, none by name", "/tenants?status=none&sort_field=name&sort_direction=asc"),
    # The same thousand in both; the newest thousand are a week's in the one and three years' in the other.
    Call("tenants, 1000 by slug", "/tenants?page_size=1000&sort_field=slug&sort_direction=asc"),
    Call("tenants, 1000 newest", "/tenants?page_size=1000", is_held=False),
    Call("tenants, search one slug", "/tenants?search=growth-000777"),
    Call("tenants, search 12 slugs", "/tenants?search=00077"),
    Call("tenants, search a name", f"/tenants?search={NAME}"),
    Call("tenants, search a name by usage", f"/tenants?search={NAME}&sort_field=usage_current"),
    Call("tenants, search nothing", "/tenants?search=nobody+at+all"),
    Call("tenants, search many", "/tenants?search=growth", is_held=False),
    Call("tenants, search a word", "/tenants?search=amber", is_held=False),
    Call("a tenant", "/tenants/growth-000777"),
    Call("codes", "/codes"),
    Call("codes, 200", "/codes?page_size=200"),
    Call("codes, page 40", "/codes?page=40"),
    *(Call(f"codes, {state}", f"/codes?status={state}") for state in CODE_STATES),
    Call("codes of a tenant", "/codes?tenant_slug=growth-000777"),
    Call("used codes of a tenant", "/codes?tenant_slug=growth-000777&status=used"),
    Call("codes, search a tenant", f"/codes?search={NAME}"),
    Call("codes, search an ending", "/codes?search=AB12"),
    Call("codes, search a whole one", "/codes?search=ABCD-EFGH-JKMN-PQRS"),
    Call("codes, search nothing", "/codes?search=nobody+at+all"),
    Call("codes of a tenant, search a label", "/codes?tenant_slug=growth-000777&search=Batch+0"),
    Call("codes, search a label of many", "/codes?search=Batch+0", is_held=False),
    Call("used codes, search a label of many", "/codes?search=Batch+0&status=used", is_held=False),
    Call("devices", "/devices"),
    Call("devices, page 40", "/devices?page=40"),
    Call("devices of a tenant", "/devices?tenant_slug=growth-000777"),
    Call("devices, search a fingerprint", "/devices?search=00ab12"),
    Call("devices, search a tenant", f"/devices?search={NAME}"),
    Call("devices, search nothing", "/devices?search=nobody+at+all"),
    Call("devices, search a label of many", "/devices?search=Machine+2", is_held=False),
    Call("events", "/events"),
    Call("events, oldest", "/events?order=oldest"),
    Call("events, 200", "/events?page_size=200"),
    Call("events, a type", f"/events?event_type={EVENT}"),
    Call("events, a severity", "/events?severity=major"),
    Call("events of a tenant", "/events?tenant_slug=growth-000777"),
    Call("events of an actor", "/events?actor=growth"),
    Call("events since", f"/events?since={SINCE}"),
    Call("plans", "/plans"),
    Call("dashboard", "/dashboard-stats"),
    Call("activities", "/recent-activities"),
    Call("trend of 30 days", "/activation-trend?days=30"),
    Call("trend of 365 days", "/activation-trend?days=365"),
    Call("distribution", "/project-device-distribution"),
    Call("analytics of 30 days", "/analytics?date_range=30d"),
    Call("analytics of a year", "/analytics?date_range=1y"),
    of_models("projects", "/projects"),
    of_models("projects, page 50", "/projects?page=50"),
    of_models("projects, search a tenant", f"/projects?search={NAME}"),
    of_models("projects, search an id", f"/projects?search={PROJECT}"),
    of_models("projects, search nothing", "/projects?search=nobody+at+all"),
    of_log("logs", ""),
    of_log("logs, all", "?range=all"),
    of_log("logs, 200 of 30 days", "?range=30days&page_size=200"),
    of_log("logs, page 40", "?range=all&page=40"),
    of_log("logs, deep cursor", f"?range=all&cursor={DEEP}"),
    of_log("logs of an agent", f"?agent={BUSY_AGENT}"),
    of_log("logs of a provider", f"?provider={BUSY_PROVIDER}"),
    of_log("logs of an agent and a provider", f"?range=30days&agent={BUSY_AGENT}&provider={BUSY_PROVIDER}"),
    *(of_log(f"logs, {status}", f"?range=all&status={status}") for status in ("success", "error", "cached")),
    # Of these the busy tenant has none: a few are counted in the one, and up to ten thousand in the other.
    of_log("logs of an agent, few and many", "?agent=qa", is_held=False),
    of_log("logs of a provider, few and many", "?provider=anthropic", is_held=False),
    of_log("logs of both, few and many", "?range=all&agent=qa&provider=anthropic", is_held=False),
    of_models("logs of a tenant", "/logs?range=all&tenant_slug=growth-000777"),
    of_models("logs of a project", f"/logs?range=all&project_id={PROJECT}"),
    of_models("logs of nobody", "/logs?range=all&provider=nobody"),
    of_models("overview of models", "/stats"),
    of_models("templates", "/templates"),
    of_models("history", "/history"),
    of_models("alerts", "/alerts"),
)
