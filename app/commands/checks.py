"""The doctor's checks, one function per subject; each returns results that name the problem and its remedy."""

from __future__ import annotations

import asyncio
import difflib
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator

from sqlalchemy.exc import SQLAlchemyError

from app.commands.check_result import CheckResult, Status
from app.commands.connection_checks import open_connections
from app.commands.file_checks import file_store
from app.commands.llm_checks import model_prices, provider_keys
from app.commands.output import reason_of
from app.commands.payment_checks import payments
from app.commands.session import is_new_file
from app.commands.sign_in_checks import allowed_origins, identity_provider, some_operator
from app.commands.work_checks import clock, connections, pooler, work
from app.database import schema
from app.database.connections import Database
from app.errors import DatabaseEncodingError, DeliveryError, PortalError, SettingsError, WorkForbiddenError
from app.limits.rate_windows import RateLimit, RedisWindows
from app.messages.mail import SmtpMailer, is_loopback
from app.runtime import Runtime
from app.sandbox import INSTALL, find_sandbox
from app.settings import Settings, variable_of
from app.settings.state_folder import OWNER_ONLY, SECRET_KEY_FILE, make_state_dir
from sql.statements import database_server, licensing

# Variables that name the places of settings and are no settings themselves.
OTHER_VARIABLES = frozenset({"PORTAL_CONFIG_FILE", "PORTAL_SECRETS_DIR"})
MIN_SQLITE = (3, 35)


async def examine(load: Callable[[], Settings]) -> AsyncIterator[CheckResult]:
    """Run all checks; those that need settings or a database are skipped if these are missing."""
    for result in variables():
        yield result
    try:
        settings = load()
    except SettingsError as failure:
        yield wrong_setting(failure)
        return
    yield CheckResult("settings", "ok", f"{settings.environment}, listening on {settings.host}:{settings.port}")
    yield CheckResult("time_zone", "ok", settings.time_zone)
    for result in (*state_folder(settings), secret_key(settings), *cautions(settings)):
        yield result
    yield open_connections(settings)
    async for result in shared_limits(settings):
        yield result
    yield await file_store(settings)
    yield allowed_origins(settings)
    yield await identity_provider(settings)
    yield await mail(settings)
    yield messages(settings)
    async for result in payments(settings):
        yield result
    yield await sandbox()
    if is_new_file(settings):
        command = "portal migrate" if settings.environment == "production" else "portal serve"
        yield CheckResult(
            "database", "warning", f"there is none yet at {settings.database.database}; made by: {command}"
        )
        return
    async for result in database(settings):
        yield result


def variables() -> Iterator[CheckResult]:
    """Environment variables that look like settings but are none: after a misspelling the default would apply."""
    settings_names = {variable_of(field) for field in Settings.model_fields} | OTHER_VARIABLES
    unknown = sorted(
        name for name in os.environ if name.upper().startswith("PORTAL_") and name.upper() not in settings_names
    )
    for name in unknown:
        if similar := difflib.get_close_matches(name.upper(), settings_names, 1, 0.8):
            yield CheckResult(name, "failure", f"is not a setting; did you mean {similar[0]}?")
        else:
            yield CheckResult(name, "warning", "is not a setting of this version; it has no effect")
    if not unknown:
        yield CheckResult("environment", "ok", "every PORTAL_ variable is a setting")


def wrong_setting(failure: SettingsError) -> CheckResult:
    """The wrong setting that stops the settings from loading; for an unknown key with the most similar key."""
    key = str(failure.values["key"])
    detail = str(failure.values["reason"])
    if key not in Settings.model_fields and (similar := difflib.get_close_matches(key, Settings.model_fields, 1, 0.6)):
        detail += f"; did you mean {similar[0]}?"
    elif variable := failure.values["variable"]:
        detail += f" (environment: {variable})"
    return CheckResult(key, "failure", detail)


def state_folder(settings: Settings) -> Iterator[CheckResult]:
    """Whether the state folder is writable, and in production that only its owner can access it."""
    folder = settings.state_dir.absolute()
    try:
        make_state_dir(folder)
        with tempfile.TemporaryFile(dir=folder):
            mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError as failure:
        yield CheckResult(
            "state_dir", "failure", f"cannot write into {folder}: {reason_of(failure)} (PORTAL_STATE_DIR)"
        )
        return
    if settings.environment == "production" and mode & ~OWNER_ONLY:
        yield CheckResult("state_dir", "failure", f"{folder} is open to others ({mode:04o}); run: chmod 700 {folder}")
    else:
        yield CheckResult("state_dir", "ok", str(folder))


def secret_key(settings: Settings) -> CheckResult:
    """The source of the secret key; loading the settings has already checked that it exists and is strong enough."""
    secret = settings.secret_key.get_secret_value()
    if secret != secret.strip():
        detail = "begins or ends with a blank or a line end, which is a part of it; write it so everywhere, or nowhere"
        return CheckResult("secret_key", "warning", detail)
    if settings.environment == "production":
        return CheckResult("secret_key", "ok", "set, and long enough")
    path = settings.state_dir.absolute() / SECRET_KEY_FILE
    if path.is_file() and path.read_text().strip() == secret:
        return CheckResult("secret_key", "ok", f"made for development, kept in {path}")
    return CheckResult("secret_key", "ok", "set")


async def shared_limits(settings: Settings) -> AsyncIterator[CheckResult]:
    """Whether Redis answers, if the settings name one; without it each worker counts rate limits by itself."""
    if not settings.redis_url.get_secret_value():
        return
    try:
        redis = RedisWindows(settings.redis_url)
    except SettingsError as failure:
        yield wrong_setting(failure)
        return
    try:
        await redis.hit(RateLimit("doctor", 1), "doctor", counts=False)
    except redis.failures as failure:
        detail = (
            f"does not answer ({type(failure).__name__}); each worker counts its limits for itself (PORTAL_REDIS_URL)"
        )
        yield CheckResult("redis", "warning", detail)
    else:
        yield CheckResult("redis", "ok", "counts the limits of all workers together")
    finally:
        await redis.close()


def cautions(settings: Settings) -> Iterator[CheckResult]:
    """Settings that are valid but rarely intended."""
    if settings.rate_limits == "off":
        yield CheckResult("rate_limits", "warning", "off: for load tests only")
    if (max_requests := settings.device_requests_per_second * 60) < settings.device_requests_per_minute:
        detail = (
            f"{settings.device_requests_per_minute} cannot be reached: device_requests_per_second allows {max_requests}"
        )
        yield CheckResult("device_requests_per_minute", "warning", detail)
    if settings.environment == "production" and "127.0.0.1" in settings.public_url:
        yield CheckResult(
            "public_url", "warning", f"{settings.public_url} is in documents and links; set PORTAL_PUBLIC_URL"
        )
    if settings.environment == "production" and settings.proxies_count == 0 and is_loopback(settings.host):
        detail = f"0, but who asks at {settings.host} is a proxy: all share its limits; set PORTAL_PROXIES_COUNT"
        yield CheckResult("proxies_count", "warning", detail)
    if settings.worker_count > 1 and settings.database.get_backend_name() == "sqlite":
        detail = f"{settings.worker_count} on SQLite wait for each other; use 1, or PostgreSQL (PORTAL_DATABASE_URL)"
        yield CheckResult("workers", "warning", detail)


async def mail(settings: Settings) -> CheckResult:
    """Whether mail can be sent: connects to the server and signs in, and sends nothing."""
    if not settings.smtp_url.get_secret_value():
        if settings.environment == "development":
            return CheckResult(
                "mail", "ok", f"stays in {settings.state_dir.absolute() / 'mailbox'}, shown at /dev/mailbox"
            )
        return CheckResult("mail", "warning", "none leaves, so no tenant can sign in by e-mail; set PORTAL_SMTP_URL")
    try:
        await SmtpMailer(settings).check()
    except (DeliveryError, ValueError) as failure:
        reason = failure.message if isinstance(failure, DeliveryError) else str(failure)
        return CheckResult("mail", "failure", f"{reason} (PORTAL_SMTP_URL)")
    if settings.environment == "production" and settings.mail_from.endswith("@localhost"):
        return CheckResult("mail", "warning", f"comes from {settings.mail_from}; set PORTAL_MAIL_FROM")
    return CheckResult("mail", "ok", f"the server answers; mail comes from {settings.mail_from}")


def messages(settings: Settings) -> CheckResult:
    """Whether SMS and WhatsApp messages can be sent."""
    if settings.message_provider_url.get_secret_value():
        return CheckResult("messages", "ok", "SMS and WhatsApp go to the provider")
    return CheckResult("messages", "ok", "no SMS or WhatsApp: PORTAL_MESSAGE_PROVIDER_URL is not set")


async def sandbox() -> CheckResult:
    """Whether tests of projects can be run: they are others' code, so they run in a sandbox or not at all."""
    if found := await asyncio.to_thread(find_sandbox):
        return CheckResult("sandbox", "ok", f"tests of projects run in {found.program}")
    detail = f"there is none that works, so tests of projects are not run, and their reports say so; {INSTALL}"
    return CheckResult("sandbox", "warning", detail)


async def database(settings: Settings) -> AsyncIterator[CheckResult]:
    """Whether the database answers, is recent enough, is migrated, and has signing keys of this secret key."""
    runtime = Runtime(settings)
    try:
        check_server = _sqlite if runtime.db.is_sqlite else _postgresql
        async for result in check_server(settings, runtime.db):
            yield result
        revision, needed = await schema.current_revision(settings), schema.head_revision()
        if revision == needed:
            yield CheckResult("schema", "ok", f"at migration {revision}")
            yield await _signing_keys(runtime)
            yield await work(settings, runtime)
            yield await some_operator(runtime)
            for result in await provider_keys(runtime):
                yield result
            yield await model_prices(runtime)
        elif revision and revision > needed:
            yield CheckResult(
                "schema", "failure", f"at migration {revision}, made by a newer version; install that version"
            )
        else:
            status: Status = "failure" if settings.environment == "production" else "warning"
            yield CheckResult(
                "schema", status, f"at migration {revision or 'none'}, needed is {needed}; run: portal migrate"
            )
    except (DatabaseEncodingError, WorkForbiddenError) as failure:
        yield CheckResult(
            "database" if isinstance(failure, DatabaseEncodingError) else "work", "failure", failure.detail
        )
    except (PortalError, SQLAlchemyError, OSError) as failure:
        detail = f"{settings.database.render_as_string()} does not answer: {reason_of(failure)} (PORTAL_DATABASE_URL)"
        yield CheckResult("database", "failure", detail)
    finally:
        await runtime.close()


async def _sqlite(settings: Settings, db: Database) -> AsyncIterator[CheckResult]:
    async with db.read() as conn:
        version = await conn.one(database_server.sqlite_version, str)
    yield CheckResult("database", "ok", f"SQLite {version} at {settings.database.database}")
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_SQLITE:
        yield CheckResult("sqlite", "failure", f"{version} is too old, 3.35 is needed; use a newer Python")


async def _postgresql(settings: Settings, db: Database) -> AsyncIterator[CheckResult]:
    async with db.read() as conn:
        version = await conn.one(database_server.postgresql_version, str)
        usable = await conn.one(database_server.usable_connections, int)
        trigram = await conn.rows(database_server.trigram_extension)
    yield CheckResult("database", "ok", f"PostgreSQL {version} at {settings.database.render_as_string()}")
    yield connections(settings, usable)
    yield await clock(db)
    if settings.pooler:
        yield await pooler(settings, db)
    effect = "search uses it" if trigram else "the server does not offer it; search reads more rows"
    yield CheckResult("pg_trgm", "ok", f"{'available' if trigram else 'absent'}: {effect}")


async def _signing_keys(runtime: Runtime) -> CheckResult:
    """Whether the secret key can decrypt the stored signing keys."""
    async with runtime.db.read() as conn:
        rows = await conn.rows(licensing.verifying_keys, now=runtime.clock.now())
    try:
        for row in rows:
            runtime.keys.open(row.sealed_private_jwk, row.kid)
    except SettingsError as failure:
        return wrong_setting(failure)
    return CheckResult(
        "signing_keys", "ok", f"{len(rows)} open with the secret key" if rows else "made at the first start"
    )
