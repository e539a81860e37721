"""What wrk sends: one scenario per path, written as a Lua script for each run, because most requests work only once."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from bench.seeding import Fleet, SeededDevice, refresh_tokens

BARE, DIRECT, ORM, PORTAL = "bare", "direct", "orm", "portal"
# More than the connections that may hold one: wrk asks once before it begins, and an answer may be lost.
REFRESH_TOKENS = 128
# Written before the load begins.
EVENTS_READY = 40_000


@dataclass(frozen=True)
class Scenario:
    """One path; ``units`` are the events in a request, ``script`` makes the Lua text of a run."""

    name: str
    servers: tuple[str, ...]
    script: Callable[[Fleet], Awaitable[str]] | None
    units: int = 1


# What can be said again is written once, before the load begins: whatever wrk has to do, the servers wait for.
READY_MADE = """
local from, requests, at = {%s}, {}, 0
init = function()
  for number, one in ipairs(from) do
    wrk.headers["Authorization"] = one.bearer
    requests[number] = %s
  end
end
request = function()
  at = at %% #requests + 1
  return requests[at]
end
"""
POLICY = 'wrk.format("GET", "/licenses/policy")'
HEARTBEAT = """wrk.format("POST", "/licenses/heartbeat", {["Authorization"] = one.bearer,
      ["Content-Type"] = "application/json"}, '{"hw_fingerprint":"' .. one.hardware .. '"}')"""
BRANDING = 'wrk.format("GET", "/licenses/branding/" .. one.slug)'

# A queue: what an answer brings is shown after everything that waits, so no token is ever shown twice.
REFRESH = """
local queue = {%s}
local slugs = {}
for _, held in ipairs(queue) do slugs[held.device] = held.slug end
local first, last = 1, #queue
wrk.headers["Content-Type"] = "application/json"
request = function()
  local held = queue[first]
  if not held then return wrk.format("GET", "/no-refresh-token-is-left") end
  queue[first] = nil
  first = first + 1
  return wrk.format("POST", "/authz/refresh", nil, '{"tenant_slug":"' .. held.slug ..
    '","device_id":' .. held.device .. ',"refresh_token":"' .. held.token .. '"}')
end
response = function(status, headers, body)
  if status ~= 200 then return end
  local device = body:match('"device_id":%%s*(%%d+)')
  last = last + 1
  queue[last] = {slug = slugs[device], device = device, token = body:match('"refresh_token":%%s*"([^"]+)"')}
end
"""

ACTIVATE = """
local tenants = {%s}
local run = "%s-"
local number = 0
wrk.headers["Content-Type"] = "application/json"
request = function()
  number = number + 1
  local tenant = tenants[number %% #tenants + 1]
  return wrk.format("POST", "/authz/activate", nil, '{"tenant_slug":"' .. tenant.slug ..
    '","activation_code":"' .. tenant.code .. '","hw_fingerprint":"' .. run .. number .. '"}')
end
"""

# The events are written once with a place for the request's number, and so are the first requests; those that a fast
# server asks for beyond them are written while it waits.
INGEST = """
local devices, count = {%s}, %d
local events = {}
for event = 1, count do events[event] = '{"id":"%s-#-' .. event .. '","kind":"run","quantity":1}' end
local template = '{"events":[' .. table.concat(events, ",") .. ']}'
local ready, number = {}, 0
local function written(number)
  local device = devices[number %% #devices + 1]
  wrk.headers["Authorization"] = device.bearer
  return wrk.format("POST", "/usage/" .. device.slug .. "/events", nil, (template:gsub("#", number)))
end
init = function()
  wrk.headers["Content-Type"] = "application/json"
  for number = 1, %d / count do ready[number] = written(number) end
end
request = function()
  number = number + 1
  return ready[number] or written(number)
end
"""


async def policy(fleet: Fleet) -> str:
    """Five hundred devices in turn ask what they may do."""
    return READY_MADE % (_devices(fleet.asking), POLICY)


async def heartbeat(fleet: Fleet) -> str:
    """The same devices say that they are alive."""
    return READY_MADE % (_devices(fleet.asking), HEARTBEAT)


async def refresh(fleet: Fleet) -> str:
    """Tokens that are each shown once."""
    held = await refresh_tokens(fleet, REFRESH_TOKENS)
    return REFRESH % _table(
        {"slug": device.tenant.slug, "device": str(device.id), "token": token} for device, token in held
    )


async def activate(fleet: Fleet) -> str:
    """A new device each, with the tenants' codes in turn."""
    tenants = _table({"slug": tenant.slug, "code": tenant.code} for tenant in fleet.tenants)
    return ACTIVATE % (tenants, secrets.token_hex(6))


async def branding(fleet: Fleet) -> str:
    """The sign-in pages of all tenants in turn."""
    return READY_MADE % (_table({"slug": tenant.slug} for tenant in fleet.tenants), BRANDING)


def ingest(events: int) -> Callable[[Fleet], Awaitable[str]]:
    """So many new events in a request, from the devices in turn."""

    async def script(fleet: Fleet) -> str:
        return INGEST % (_devices(fleet.asking), events, secrets.token_hex(6), EVENTS_READY)

    return script


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("bare", (BARE,), None),
        Scenario("policy", (DIRECT, ORM, PORTAL), policy),
        Scenario("heartbeat", (DIRECT, ORM, PORTAL), heartbeat),
        Scenario("refresh", (ORM, PORTAL), refresh),
        Scenario("activate", (ORM, PORTAL), activate),
        Scenario("ingest-1", (DIRECT, ORM, PORTAL), ingest(1), 1),
        Scenario("ingest-100", (ORM, PORTAL), ingest(100), 100),
        Scenario("ingest-1000", (ORM, PORTAL), ingest(1000), 1000),
        Scenario("branding", (DIRECT, ORM, PORTAL), branding),
    )
}


def _devices(devices: Iterable[SeededDevice]) -> str:
    return _table(
        {"bearer": f"Bearer {device.access_token}", "hardware": device.hw_fingerprint, "slug": device.tenant.slug}
        for device in devices
    )


def _table(rows: Iterable[dict[str, str]]) -> str:
    """Rows as a Lua table; none of the values needs quoting."""
    return ",".join("{" + ",".join(f'{name}="{value}"' for name, value in row.items()) + "}" for row in rows)
