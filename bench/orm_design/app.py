"""The ORM design: FastAPI, a session of mapped classes per request, pydantic in and out; the portal's same endpoints.

python -m bench.orm_design.app PORT, with the portal's own settings in the environment
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from app.errors import PortalError
from bench.orm_design import activating, database, graph, licensing, refreshing, usage


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the keys that tokens are signed with; close every connection at the end."""
    await database.runtime.start()
    yield
    await database.engine.dispose()
    await database.runtime.close()


app = FastAPI(lifespan=lifespan)
for part in (licensing, refreshing, activating, usage, graph):
    app.include_router(part.router)


@app.exception_handler(PortalError)
async def problem(request: Request, failure: PortalError) -> JSONResponse:
    """The error's code and message with its status."""
    return JSONResponse({"errorCode": failure.code, "detail": str(failure)}, failure.status)


@app.get("/bench/statements")
async def statements() -> int:
    """How many SQL statements this process has sent so far."""
    return database.statements


if __name__ == "__main__":
    # The application as an object: named by a string it would be imported a second time.
    uvicorn.run(
        app, port=int(sys.argv[1]), loop="uvloop", http="httptools", ws="none", access_log=False, log_level="warning"
    )
