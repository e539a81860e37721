"""What the doctor checks, one function a subject, each answering findings that say what is wrong and what mends it."""

from __future__ import annotations

import difflib
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator

from sqlalchemy.exc import SQLAlchemyError

from app.commands.finding import Finding, Status
from app.commands.output import reason_of
from app.commands.session import is_new_file
from app.commands.sign_in_checks import identity_provider, some_operator
from app.database import schema
from app.database.connections import Database
from app.errors import DeliveryError, PortalError, SettingsError
from app.limits.rate_windows import RateLimit, RedisWindows
from app.messages.mail import SmtpMailer, is_loopback
from app.runtime import Runtime
from app.settings import OWNER_ONLY, SECRET_KEY_FILE, Settings, make_state_dir
from sql.statements import database_server, licensing

# Variables that say where settings are, and are none.
OTHER_VARIABLES = frozenset({"PORTAL_CONFIG_FILE", "PORTAL_SECRETS_DIR"})
MIN_SQLITE = (3, 35)
# What a worker holds beside its pools: the engine's client, and a listener.
OTHER_CONNECTIONS = 2


async def examine(load: Callable[[], Settings]) -> AsyncIterator[Finding]:
    """Check one thing after the other; what needs settings or a database is left out when they are not there."""
    for finding in variables():
        yield finding
    try:
        settings = load()
    except SettingsError as failure:
        yield wrong_setting(failure)
        return
    yield Finding("settings", "ok", f"{settings.environment}, listening on {settings.host}:{settings.port}")
    yield Finding("time_zone", "ok", settings.time_zone)
    for finding in (*state_folder(settings), secret_key(settings), *cautions(settings)):
        yield finding
    async for finding in shared_limits(settings):
        yield finding
    yield await identity_provider(settings)
    yield await mail(settings)
    yield messages(settings)
    if is_new_file(settings):
        wanted = "portal migrate" if settings.environment == "production" else "portal serve"
        yield Finding("database", "warning", f"there is none yet at {settings.database.database}; made by: {wanted}")
        return
    async for finding in database(settings):
        yield finding


def variables() -> Iterator[Finding]:
    """Environment variables that look like settings and are none: a misspelt one is silently the default."""
    known = {f"PORTAL_{field.upper()}" for field in Settings.model_fields} | OTHER_VARIABLES
    unknown = sorted(name for name in os.environ if name.upper().startswith("PORTAL_") and name.upper() not in known)
    for name in unknown:
        if near := difflib.get_close_matches(name.upper(), known, 1, 0.8):
            yield Finding(name, "failure", f"is not a setting; did you mean {near[0]}?")
        else:
            yield Finding(name, "warning", "is not a setting of this version; it has no effect")
    if not unknown:
        yield Finding("environment", "ok", "every PORTAL_ variable is a setting")


def wrong_setting(failure: SettingsError) -> Finding:
    """The setting that keeps the others from being read, with its nearest name if it is an unknown one."""
    key = str(failure.values["key"])
    detail = str(failure.values["reason"])
    if key not in Settings.model_fields and (near := difflib.get_close_matches(key, Settings.model_fields, 1, 0.6)):
        detail += f"; did you mean {near[0]}?"
    elif variable := failure.values["variable"]:
        detail += f" (environment: {variable})"
    return Finding(key, "failure", detail)


def state_folder(settings: Settings) -> Iterator[Finding]:
    """Whether the state folder can be written, and by whom."""
    folder = settings.state_dir.absolute()
    try:
        make_state_dir(folder)
        with tempfile.TemporaryFile(dir=folder):
            mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError as failure:
        yield Finding("state_dir", "failure", f"cannot write into {folder}: {reason_of(failure)} (PORTAL_STATE_DIR)")
        return
    if settings.environment == "production" and mode & ~OWNER_ONLY:
        yield Finding("state_dir", "failure", f"{folder} is open to others ({mode:04o}); run: chmod 700 {folder}")
    else:
        yield Finding("state_dir", "ok", str(folder))


def secret_key(settings: Settings) -> Finding:
    """Where the secret key comes from; that it is there, and strong enough in production, was checked in reading it."""
    if settings.environment == "production":
        return Finding("secret_key", "ok", "set, and long enough")
    path = settings.state_dir.absolute() / SECRET_KEY_FILE
    if path.is_file() and path.read_text().strip() == settings.secret_key.get_secret_value():
        return Finding("secret_key", "ok", f"made for development, kept in {path}")
    return Finding("secret_key", "ok", "set")


async def shared_limits(settings: Settings) -> AsyncIterator[Finding]:
    """Whether Redis counts the limits, where it should; without it each worker counts for itself."""
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
        said = (
            f"does not answer ({type(failure).__name__}); each worker counts its limits for itself (PORTAL_REDIS_URL)"
        )
        yield Finding("redis", "warning", said)
    else:
        yield Finding("redis", "ok", "counts the limits of all workers together")
    finally:
        await redis.close()


def cautions(settings: Settings) -> Iterator[Finding]:
    """Settings that are allowed and rarely meant."""
    if settings.rate_limits == "off":
        yield Finding("rate_limits", "warning", "off: for load tests only")
    if (fastest := settings.device_requests_per_second * 60) < settings.device_requests_per_minute:
        said = f"{settings.device_requests_per_minute} cannot be reached: device_requests_per_second allows {fastest}"
        yield Finding("device_requests_per_minute", "warning", said)
    if settings.environment == "production" and "127.0.0.1" in settings.public_url:
        yield Finding(
            "public_url", "warning", f"{settings.public_url} is in documents and links; set PORTAL_PUBLIC_URL"
        )
    if settings.environment == "production" and settings.proxies_count == 0 and is_loopback(settings.host):
        detail = f"0, but who asks at {settings.host} is a proxy: all share its limits; set PORTAL_PROXIES_COUNT"
        yield Finding("proxies_count", "warning", detail)
    if settings.worker_count > 1 and settings.database.get_backend_name() == "sqlite":
        detail = f"{settings.worker_count} on SQLite wait for each other; use 1, or PostgreSQL (PORTAL_DATABASE_URL)"
        yield Finding("workers", "warning", detail)


async def mail(settings: Settings) -> Finding:
    """Whether mail leaves, and whether its server answers and knows us; nothing is sent."""
    if not settings.smtp_url.get_secret_value():
        if settings.environment == "development":
            return Finding("mail", "ok", f"stays in {settings.state_dir.absolute() / 'mailbox'}, shown at /dev/mailbox")
        return Finding("mail", "warning", "none leaves, so no tenant can sign in by e-mail; set PORTAL_SMTP_URL")
    try:
        await SmtpMailer(settings).check()
    except (DeliveryError, ValueError) as failure:
        told = failure.message if isinstance(failure, DeliveryError) else str(failure)
        return Finding("mail", "failure", f"{told} (PORTAL_SMTP_URL)")
    if settings.environment == "production" and settings.mail_from.endswith("@localhost"):
        return Finding("mail", "warning", f"comes from {settings.mail_from}; set PORTAL_MAIL_FROM")
    return Finding("mail", "ok", f"the server answers; mail comes from {settings.mail_from}")


def messages(settings: Settings) -> Finding:
    """Whether SMS and WhatsApp messages leave."""
    if settings.message_provider_url.get_secret_value():
        return Finding("messages", "ok", "SMS and WhatsApp go to the provider")
    return Finding("messages", "ok", "no SMS or WhatsApp: PORTAL_MESSAGE_PROVIDER_URL is not set")


async def database(settings: Settings) -> AsyncIterator[Finding]:
    """Whether the database answers, is new enough, is migrated, and belongs to this secret key."""
    runtime = Runtime(settings)
    try:
        ask = _sqlite if runtime.db.is_sqlite else _postgresql
        async for finding in ask(settings, runtime.db):
            yield finding
        found, needed = await schema.current_revision(settings), schema.head_revision()
        if found == needed:
            yield Finding("schema", "ok", f"at migration {found}")
            yield await _signing_keys(runtime)
            yield await some_operator(runtime)
        elif found and found > needed:
            yield Finding("schema", "failure", f"at migration {found}, made by a newer version; install that version")
        else:
            status: Status = "failure" if settings.environment == "production" else "warning"
            yield Finding("schema", status, f"at migration {found or 'none'}, needed is {needed}; run: portal migrate")
    except (PortalError, SQLAlchemyError, OSError) as failure:
        detail = f"{settings.database.render_as_string()} does not answer: {reason_of(failure)} (PORTAL_DATABASE_URL)"
        yield Finding("database", "failure", detail)
    finally:
        await runtime.close()


async def _sqlite(settings: Settings, db: Database) -> AsyncIterator[Finding]:
    async with db.read() as conn:
        version = await conn.one(database_server.sqlite_version, str)
    yield Finding("database", "ok", f"SQLite {version} at {settings.database.database}")
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_SQLITE:
        yield Finding("sqlite", "failure", f"{version} is too old, 3.35 is needed; use a newer Python")


async def _postgresql(settings: Settings, db: Database) -> AsyncIterator[Finding]:
    async with db.read() as conn:
        version = await conn.one(database_server.postgresql_version, str)
        usable = await conn.one(database_server.usable_connections, int)
        trigram = await conn.rows(database_server.trigram_extension)
    yield Finding("database", "ok", f"PostgreSQL {version} at {settings.database.render_as_string()}")
    per_worker = settings.read_pool_size + settings.write_pool_size + settings.durable_pool_size + OTHER_CONNECTIONS
    needed = per_worker * settings.worker_count
    detail = f"{settings.worker_count} workers x {per_worker} = {needed} of the server's {usable}"
    if needed > usable:
        mend = "lower workers, read_pool_size, write_pool_size or durable_pool_size, or raise max_connections"
        yield Finding("connections", "failure", f"{detail}; {mend}")
    else:
        yield Finding("connections", "ok", detail)
    told = "search uses it" if trigram else "the server does not offer it; search reads more rows"
    yield Finding("pg_trgm", "ok", f"{'available' if trigram else 'absent'}: {told}")


async def _signing_keys(runtime: Runtime) -> Finding:
    """Open the stored keys: only the secret key they were sealed with can."""
    async with runtime.db.read() as conn:
        rows = await conn.rows(licensing.verifying_keys, now=runtime.clock.now())
    try:
        for row in rows:
            runtime.keys.open(row.sealed_private_jwk, row.kid)
    except SettingsError as failure:
        return wrong_setting(failure)
    return Finding("signing_keys", "ok", f"{len(rows)} open with the secret key" if rows else "made at the first start")
