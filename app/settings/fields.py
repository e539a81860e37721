"""The portal's settings: public ones from ``sanic.toml``, secrets from the environment or files; read-only."""

from __future__ import annotations

import os
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import (
    SettingsError as SettingsSourceError,
)

from app.errors import SettingsError
from app.settings import database_address, urls
from app.settings.files import TomlFiles, toml_files, without_blanks
from app.settings.kinds import (
    CodePrices,
    Cron,
    DatabaseAddress,
    Origins,
    Recipients,
    TimeZone,
    WorkProcesses,
)
from app.settings.sign_in import SignInSettings
from app.settings.state_folder import generated_secret

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from app.settings.database_address import Address

MIN_SECRET_LENGTH = 32
PLACEHOLDERS = frozenset({"changeme", "change-me", "secret", "placeholder", "default", "example", "password"})
MIN_DAYS_OF_MONTH = 28
# A key that is held for longer counts as held by a clock that stands ahead, LONGEST_HOLD of app/clock.py, and is free.
MAX_HOLD_SECONDS = 1200
# Where front ends are served on the machine of whoever develops them. In production a page there is a stranger's.
DEVELOPMENT_ORIGINS = tuple(
    f"http://{host}:{port}" for host in ("localhost", "127.0.0.1", "[::1]") for port in (3000, 3001, 3002)
)
LARGEST = (
    ("request_max_bytes", "request_bodies_max_bytes"),
    ("run_file_max_bytes", "run_max_bytes"),
    ("graphql_max_cost", "graphql_cost_per_minute"),
)


class Settings(SignInSettings):
    """All settings of an installation; ``sanic.toml`` explains each public key."""

    model_config = SettingsConfigDict(env_prefix="PORTAL_", frozen=True, extra="forbid", hide_input_in_errors=True)

    environment: Literal["development", "production"] = "development"
    state_dir: Path = Path("var")
    secret_key: SecretStr = SecretStr("")
    database_url: DatabaseAddress = SecretStr("")
    # The address of a pooler that lends a connection for a transaction; database_url goes past it.
    database_pooler: DatabaseAddress = SecretStr("")
    smtp_url: SecretStr = SecretStr("")
    message_provider_url: SecretStr = SecretStr("")
    redis_url: SecretStr = SecretStr("")
    oidc_client_secret: SecretStr = SecretStr("")
    stripe_secret_key: SecretStr = SecretStr("")
    # One, or two while it is changed, separated by a comma.
    stripe_webhook_secret: SecretStr = SecretStr("")
    # Named as the providers' own libraries name them, without a prefix.
    openai_api_key: SecretStr = Field(SecretStr(""), validation_alias="OPENAI_API_KEY")
    anthropic_api_key: SecretStr = Field(SecretStr(""), validation_alias="ANTHROPIC_API_KEY")
    google_api_key: SecretStr = Field(SecretStr(""), validation_alias="GOOGLE_API_KEY")
    openai_base_url: str = Field("", validation_alias="OPENAI_BASE_URL")
    anthropic_base_url: str = Field("", validation_alias="ANTHROPIC_BASE_URL")
    google_base_url: str = Field("", validation_alias="GOOGLE_BASE_URL")

    host: str
    port: int = Field(ge=0, le=65535)
    workers: int = Field(ge=0, le=64)
    work_processes: WorkProcesses
    proxies_count: int = Field(ge=0)
    public_url: str
    allowed_origins: Origins
    request_max_bytes: int = Field(ge=1024)
    request_bodies_max_bytes: int = Field(ge=1024)
    request_timeout_seconds: int = Field(ge=1)
    response_timeout_seconds: int = Field(ge=1)
    keep_alive_seconds: int = Field(ge=1)
    max_connections: int = Field(ge=1)
    max_connections_per_address: int = Field(ge=0)
    shutdown_grace_seconds: float = Field(ge=0)
    log_level: Literal["debug", "info", "warning", "error"]
    log_format: Literal["auto", "json", "console"]
    access_log: bool
    time_zone: TimeZone
    token_issuer: str = Field(min_length=1)
    token_audience: str = Field(min_length=1)
    access_token_seconds: int = Field(ge=30)
    refresh_token_seconds: int = Field(ge=60)
    refresh_grace_seconds: int = Field(ge=0, le=3600)
    signing_key_lead_seconds: int = Field(ge=0)
    rate_limits: Literal["on", "off"]
    device_requests_per_minute: int = Field(ge=1)
    device_requests_per_second: int = Field(ge=1)
    device_wait_seconds: float = Field(ge=0, le=30)
    unknown_codes_per_minute: int = Field(ge=1)
    graphql_max_depth: int = Field(ge=1, le=50)
    graphql_max_tokens: int = Field(ge=100, le=10_000)
    graphql_max_aliases: int = Field(ge=1, le=1000)
    graphql_max_cost: int = Field(ge=1)
    graphql_cost_per_minute: int = Field(ge=1)
    graphql_max_connections: int = Field(ge=0)
    graphql_max_connections_per_caller: int = Field(ge=0)
    graphql_max_operations: int = Field(ge=1, le=1000)
    refusal_hold_seconds: float = Field(ge=0, le=10)
    max_held_requests: int = Field(ge=0)
    max_watchers: int = Field(ge=0)
    max_watchers_per_tenant: int = Field(ge=0)
    read_pool_size: int = Field(ge=2)
    write_pool_size: int = Field(ge=3)
    durable_pool_size: int = Field(ge=2)
    pool_timeout_seconds: float = Field(gt=0)
    statement_timeout_seconds: float = Field(gt=0)
    lock_timeout_seconds: float = Field(gt=0)
    coalesce_queue_size: int = Field(ge=1)
    coalesce_batch_size: int = Field(ge=1, le=5000)
    usage_queue_events: int = Field(ge=1)
    usage_past_days: int = Field(ge=1)
    usage_future_seconds: int = Field(ge=0)
    usage_retention_months: int = Field(ge=2)
    llm_log_retention_months: int = Field(ge=2)
    run_timeout_hours: float = Field(gt=0, le=24 * 30)
    task_timeout_seconds: float = Field(gt=0, le=3 * 3600)
    qa_rounds: int = Field(ge=0, le=10)
    run_files_retention_days: int = Field(ge=1)
    model_answer_retention_days: int = Field(ge=1, le=3650)
    budget_wait_seconds: float = Field(ge=0, le=600)
    provider_timeout_seconds: float = Field(gt=0, le=3600)
    provider_retry_seconds: float = Field(ge=0, le=30)
    provider_cooldown_seconds: float = Field(ge=0, le=3600)
    artifacts_url: str
    # Above, an object is more than one request, and an archive needs another format.
    run_file_max_bytes: int = Field(ge=1, le=100 * 2**20)
    run_max_bytes: int = Field(ge=1, le=3 * 2**30)
    run_max_files: int = Field(ge=1, le=60_000)
    mail_from: str
    mail_from_name: str
    alert_recipients: Recipients
    message_sender: str
    billing_return_url: str
    billing_currency: str = Field(pattern=r"^[a-z]{3}$")
    code_prices: CodePrices
    grace_days: int = Field(ge=0, le=90)
    trial_notice_days: int = Field(ge=0, le=30)
    billing_ends_cron: Cron
    billing_prices_cron: Cron
    billing_reconcile_cron: Cron
    idempotency_hours: int = Field(ge=1, le=168)
    stripe_api_base: str
    stripe_timeout_seconds: float = Field(gt=0, le=120)
    stripe_retries: int = Field(ge=0, le=5)
    session_purge_cron: Cron
    audit_seal_cron: Cron
    statistics_fold_cron: Cron
    statistics_check_cron: Cron
    budget_alerts_cron: Cron
    rollup_check_cron: Cron
    retention_cron: Cron

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The sources by precedence: explicit values, environment, secret files, ``sanic.toml``."""
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        if folder := os.environ.get("PORTAL_SECRETS_DIR"):
            sources.append(SecretsSettingsSource(settings_cls, folder))
        return (*sources, TomlFiles(settings_cls, toml_files()))

    @model_validator(mode="before")
    @classmethod
    def _as_it_was_meant(cls, values: dict[str, Any]) -> dict[str, Any]:
        # With another secret key nothing that is stored can be read: it is taken as it is.
        meant = without_blanks(values, but="secret_key")
        origins = meant.get("allowed_origins")
        names_any = bool(origins.strip(" ,")) if isinstance(origins, str) else bool(origins)
        if not names_any and meant.get("environment", "development") == "development":
            meant["allowed_origins"] = DEVELOPMENT_ORIGINS
        return meant

    @field_validator("smtp_url", "message_provider_url")
    @classmethod
    def _readable_address(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if text := value.get_secret_value():
            urls.server_url(text, ("smtp", "smtps") if info.field_name == "smtp_url" else ("http", "https"))
        return value

    @field_validator(*urls.SHOWN_SETTINGS)
    @classmethod
    def _absolute_address(cls, value: str, info: ValidationInfo) -> str:
        if info.field_name == "public_url":
            return urls.own_host(value)
        return urls.shown_url(value) if value else value

    @field_validator("artifacts_url")
    @classmethod
    def _known_store(cls, value: str) -> str:
        return urls.store_url(value) if value else value

    @model_validator(mode="after")
    def _a_paced_request_is_answered_before_its_time_out(self) -> Self:
        if self.device_wait_seconds >= self.response_timeout_seconds:
            raise ValueError("device_wait_seconds: must be below response_timeout_seconds, which ends the request")
        return self

    @model_validator(mode="after")
    def _a_key_is_not_held_too_long(self) -> Self:
        if (
            self.response_timeout_seconds + self.pool_timeout_seconds + self.statement_timeout_seconds
            > MAX_HOLD_SECONDS
        ):
            others = "pool_timeout_seconds and statement_timeout_seconds"
            raise ValueError(f"response_timeout_seconds: with {others} must be at most {MAX_HOLD_SECONDS}")
        return self

    @model_validator(mode="after")
    def _events_are_kept_longer_than_they_may_be_late(self) -> Self:
        if self.usage_past_days >= self.usage_retention_months * MIN_DAYS_OF_MONTH:
            raise ValueError(
                "usage_past_days: must end before usage_retention_months, or a repeated event counts again"
            )
        return self

    @model_validator(mode="after")
    def _a_pooler_stands_before_a_server(self) -> Self:
        if (pooler := self.database_pooler.get_secret_value()) and (self.is_sqlite or pooler.startswith("sqlite")):
            raise ValueError("database_pooler: is for PostgreSQL; set database_url to the server's own address too")
        return self

    @model_validator(mode="after")
    def _what_is_largest_fits(self) -> Self:
        for one, all_together in LARGEST:
            if getattr(self, one) > getattr(self, all_together):
                raise ValueError(f"{one}: must be at most {all_together}, or what is that large is never let through")
        return self

    @model_validator(mode="after")
    def _production_is_strict(self) -> Self:
        if self.environment != "production":
            return self
        if self.rate_limits == "off":
            raise ValueError("rate_limits: may not be off in production")
        secret = self.secret_key.get_secret_value()
        if not secret:
            raise ValueError("secret_key: is missing; set PORTAL_SECRET_KEY to at least 32 random characters")
        if len(secret) < MIN_SECRET_LENGTH or any(word in secret.lower() for word in PLACEHOLDERS):
            raise ValueError("secret_key: is a placeholder or too short; use at least 32 random characters")
        return self

    @property
    def database(self) -> URL:
        """The URL of the database: the configured one, or a SQLite file in the state folder.

        Raises SettingsError for a URL that cannot be parsed.
        """
        return self.database_address.url

    @property
    def database_address(self) -> Address:
        """The address with what it asks of a connection; raises SettingsError."""
        text = self.database_url.get_secret_value() or f"sqlite+aiosqlite:///{self.state_dir.absolute()}/portal.db"
        return _read_address("database_url", text)

    @property
    def pooler(self) -> Address | None:
        """The address of the pooler for transactions, through which requests go; raises SettingsError."""
        text = self.database_pooler.get_secret_value()
        return _read_address("database_pooler", text) if text else None

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a SQLite file; parses no URL, so it needs no SQLAlchemy."""
        text = self.database_url.get_secret_value()
        return not text or text.startswith("sqlite")

    @property
    def simulates_stripe(self) -> bool:
        """Whether Stripe's simulator answers instead of Stripe: in development without a key of Stripe's."""
        return self.environment == "development" and not self.stripe_secret_key.get_secret_value()

    @property
    def stripe_webhook_secrets(self) -> tuple[str, ...]:
        """The secrets of which one signs what Stripe sends; none where nothing is received."""
        return tuple(
            secret for part in self.stripe_webhook_secret.get_secret_value().split(",") if (secret := part.strip())
        )

    @property
    def trusted_origins(self) -> frozenset[str]:
        """The origins whose pages may send changes authenticated by a cookie: configured ones and the portal's own."""
        own = urlsplit(self.public_url.lower())
        return frozenset({*self.allowed_origins, f"{own.scheme}://{own.netloc}"})

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of usage days and months."""
        return ZoneInfo(self.time_zone)

    @property
    def worker_count(self) -> int:
        """The number of worker processes; 0 in the settings chooses by database and cores."""
        if self.workers:
            return self.workers
        return 1 if self.is_sqlite else min(4, os.cpu_count() or 1)

    @property
    def work_process_count(self) -> int:
        """The number of processes for background work beside the workers."""
        if isinstance(self.work_processes, int):
            return self.work_processes
        return 1 if self.work_processes == "auto" else 0

    @property
    def works(self) -> bool:
        """Whether any process of this host does background work."""
        return self.work_processes != "elsewhere"

    @property
    def workers_work(self) -> bool:
        """Whether the workers themselves do background work."""
        return self.works and self.work_process_count == 0


def load_settings(**explicit: Any) -> Settings:
    """Read the settings; in development a missing secret key is generated once and stored in the state folder.

    Raises SettingsError, which names the first wrong key.
    """
    try:
        settings = Settings(**explicit)
    except ValidationError as failure:
        raise _first_wrong_key(failure) from None
    except (TOMLDecodeError, SettingsSourceError) as failure:
        raise SettingsError(key="sanic.toml", reason=str(failure)) from None
    if settings.secret_key.get_secret_value():
        return settings
    return settings.model_copy(update={"secret_key": SecretStr(generated_secret(settings.state_dir))})


def _read_address(key: str, text: str) -> Address:
    try:
        return database_address.read(text)
    except ValueError:
        reason = "cannot be read as driver://user:password@host:port/name"
        raise SettingsError(key=key, variable=variable_of(key), reason=reason) from None


def _first_wrong_key(failure: ValidationError) -> SettingsError:
    error = failure.errors()[0]
    message = error["msg"].removeprefix("Value error, ")
    key, _, reason = (
        (".".join(str(part) for part in error["loc"]), "", message) if error["loc"] else message.partition(": ")
    )
    if error["type"] == "missing":
        reason = "is missing from sanic.toml"
    elif error["type"] == "extra_forbidden":
        reason = "is not a setting of the portal"
    key = key.lower() if key in UNPREFIXED else key
    return SettingsError(key=key, variable=variable_of(key), reason=reason)


# The variables whose names have no prefix.
UNPREFIXED = frozenset(
    str(field.validation_alias) for field in Settings.model_fields.values() if field.validation_alias
)


def variable_of(field: str) -> str:
    """The environment variable of a setting."""
    return field.upper() if field.upper() in UNPREFIXED else f"PORTAL_{field.upper()}"
