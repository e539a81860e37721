"""A bare Sanic handler with constant JSON: what the framework itself can do on this machine."""

from __future__ import annotations

import sys

from sanic import Request, Sanic
from sanic.response import HTTPResponse

app: Sanic = Sanic("bare")
BODY = b'{"plan_name":"Pro","monthly_run_quota":50,"subscription_state":"active"}'


@app.get("/")
async def constant(request: Request) -> HTTPResponse:
    return HTTPResponse(BODY, content_type="application/json")


if __name__ == "__main__":
    workers = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    app.run(port=int(sys.argv[1]), workers=workers, single_process=workers == 1, access_log=False, motd=False)
