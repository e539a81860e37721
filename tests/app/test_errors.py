"""Errors: one list of every code and status, and each says what happened and what would help."""

from __future__ import annotations

import html
import pkgutil
import string
from importlib import import_module

from support.live import LiveServer

from app import errors
from app.errors import PortalError
from app.errors.__main__ import drawing
from app.settings import Settings

# The promise to everybody who decides by errorCode: nothing here changes or goes.
CODES = {
    "activation_code_expired": 400,
    "activation_code_invalid": 400,
    "activation_code_not_found": 404,
    "activation_code_revoked": 400,
    "activation_code_used_up": 400,
    "alert_not_found": 404,
    "api_token_invalid": 401,
    "api_token_not_found": 404,
    "bad_request": 400,
    "body_not_expected": 400,
    "conflict": 409,
    "credentials_invalid": 401,
    "database_unavailable": 503,
    "delivery_deferred": 502,
    "delivery_failed": 502,
    "device_idle": 403,
    "device_limit_reached": 403,
    "device_not_found": 404,
    "device_moves_exceeded": 429,
    "device_released": 403,
    "device_unknown": 401,
    "fingerprint_mismatch": 403,
    "file_damaged": 500,
    "files_unavailable": 503,
    "forbidden": 403,
    "form_refused": 403,
    "idempotency_answer_lost": 409,
    "idempotency_conflict": 409,
    "idempotency_running": 409,
    "internal_server_error": 500,
    "mail_unavailable": 502,
    "malformed_body": 400,
    "messenger_unavailable": 502,
    "method_not_allowed": 405,
    "not_found": 404,
    "not_yet_run": 404,
    "one_time_password_invalid": 401,
    "operator_missing": 401,
    "contact_change_not_found": 404,
    "contact_change_waits": 409,
    "operator_not_allowed": 403,
    "operator_not_found": 404,
    "origin_refused": 403,
    "overloaded": 503,
    "head_too_large": 431,
    "payload_too_large": 413,
    "already_on_plan": 409,
    "checkout_replaced": 409,
    "nothing_paid_for": 409,
    "purchase_unpaid": 409,
    "stripe_event_not_found": 404,
    "history_not_found": 404,
    "purchase_not_found": 404,
    "codes_gone": 410,
    "plan_of_price_not_found": 500,
    "payments_not_configured": 503,
    "payments_refused": 502,
    "payments_unavailable": 503,
    "webhook_signature_invalid": 400,
    "permission_missing": 403,
    "plan_conflict": 409,
    "plan_missing": 404,
    "project_conflict": 400,
    "project_has_code": 400,
    "project_incomplete": 400,
    "agent_settings_not_found": 404,
    "budget_exceeded": 402,
    "provider_key_missing": 503,
    "providers_cooling": 503,
    "providers_failed": 502,
    "quota_exceeded": 402,
    "model_price_missing": 409,
    "project_not_found": 404,
    "tenant_deletion_not_found": 404,
    "project_running": 409,
    "project_completed": 409,
    "restart_refused": 400,
    "revoking_not_allowed": 403,
    "run_in_progress": 409,
    "run_not_found": 404,
    "nothing_runs": 409,
    "trial_run_limit": 403,
    "download_refused": 400,
    "graphql_get_reads_only": 405,
    "graphql_invalid": 400,
    "graphql_too_costly": 400,
    "graphql_too_large": 400,
    "persisted_query_not_found": 400,
    "persisted_query_wrong": 400,
    "task_ended": 409,
    "task_not_found": 404,
    "too_many_connections": 429,
    "too_many_operations": 429,
    "unsupported_media_type": 415,
    "download_gone": 404,
    "project_without_code": 400,
    "project_without_tenant": 400,
    "plan_not_found": 400,
    "rate_limited": 429,
    "refresh_token_expired": 401,
    "refresh_token_invalid": 401,
    "refresh_token_reused": 401,
    "refresh_token_superseded": 401,
    "request_timeout": 408,
    "schema_behind": 503,
    "database_encoding": 503,
    "work_forbidden": 503,
    "service_unavailable": 503,
    "session_expired": 401,
    "session_invalid": 401,
    "session_missing": 401,
    "settings_invalid": 500,
    "shutting_down": 503,
    "sign_in_failed": 401,
    "simulator_missing": 409,
    "sign_in_link_invalid": 401,
    "sign_in_unavailable": 503,
    "subscription_conflict": 409,
    "subscription_inactive": 403,
    "trial_ended": 403,
    "payment_overdue": 403,
    "subscription_missing": 403,
    "template_not_found": 404,
    "tenant_conflict": 409,
    "tenant_mismatch": 403,
    "tenant_not_found": 404,
    "token_expired": 401,
    "token_invalid": 401,
    "too_many_watchers": 429,
    "token_missing": 401,
    "trial_project_limit": 403,
    "unauthenticated": 401,
    "events_rejected": 422,
    "validation_error": 422,
    "voiding_not_permitted": 403,
    "version_conflict": 412,
}
# Said with 401 to a device that asks, with 403 to one that activates.
TWO_STATUSES = {"device_revoked": {401, 403}}
# Branches of the tree that nothing raises, and what explains itself.
WITHOUT_REMEDY = {
    errors.CodeError,
    errors.ConflictError,
    errors.DeniedError,
    errors.RequestError,
    errors.SettingsError,
    errors.UnauthenticatedError,
    errors.UnauthenticatedError,
    errors.ValidationError,
}


def tree(root: type[PortalError] = PortalError) -> list[type[PortalError]]:
    """The root and everything below it that is ours."""
    ours = [child for child in root.__subclasses__() if child.__module__.startswith("app.")]
    return [root, *(found for child in ours for found in tree(child))]


def _depth(line: str) -> int:
    """How many branches a line of the drawing hangs below the root."""
    return (len(line) - len(line.lstrip("│├└─ "))) // 4


def test_every_code_has_its_status() -> None:
    found: dict[str, set[int]] = {}
    for error in tree():
        found.setdefault(error.code, set()).add(error.status)

    assert found == {code: {status} for code, status in CODES.items()} | TWO_STATUSES


def test_every_error_is_exported_and_drawn_below_its_parent() -> None:
    for module in pkgutil.iter_modules(errors.__path__):
        import_module(f"app.errors.{module.name}")
    lines = list(drawing())

    assert sorted(errors.__all__) == sorted(error.__name__ for error in tree())
    assert [line.lstrip("│├└─ ") for line in lines] == [
        f"{error.__name__} ({error.status} {error.code})" for error in tree()
    ]
    assert [_depth(line) for line in lines] == [len(error.__mro__) - len(PortalError.__mro__) for error in tree()]


def test_every_error_says_what_happened() -> None:
    codes: dict[str, set[str]] = {}
    for error in tree():
        codes.setdefault(error.paragraphs()[0], set()).add(error.code)

    # Clients of persisted documents compare this word.
    codes.pop("PersistedQueryNotFound")
    assert all(message.endswith((".", "}")) and message[0].isupper() for message in codes)
    # What is said with two statuses is said in the same words.
    assert [message for message, of_message in codes.items() if len(of_message) > 1] == []


def test_every_denial_says_what_would_free_the_caller() -> None:
    silent = {error for error in tree() if not error.paragraphs()[1]}

    assert silent == WITHOUT_REMEDY


def test_messages_name_only_what_they_are_given() -> None:
    named = {
        error.__name__: {field for _, field, _, _ in string.Formatter().parse(" ".join(error.paragraphs())) if field}
        for error in tree()
    }

    assert {name: fields for name, fields in named.items() if fields} == {
        "AccountRateLimitedError": {"retry_after"},
        "AlertNotFoundError": {"alert_id"},
        "ApiTokenNotFoundError": {"token_id"},
        "BodiesFullError": {"retry_after"},
        "CodeExpiredError": {"expires_at"},
        "CodeUsedUpError": {"max_uses", "use_count"},
        "DatabaseConflictError": {"retry_after"},
        "DatabaseUnavailableError": {"retry_after"},
        "DeliveryDeferredError": {"reason"},
        "DeliveryError": {"reason"},
        "DeviceLimitReachedError": {"max_devices", "plan"},
        "DeviceMovesExceededError": {"moves", "plan", "retry_after"},
        "DeviceNotFoundError": {"device_id"},
        "EventsRejectedError": {"reason"},
        "FileDamagedError": {"run_id", "sha256"},
        "FilesUnavailableError": {"retry_after"},
        "HeadTooLargeError": {"limit", "unit"},
        "MalformedBodyError": {"reason"},
        "MethodNotAllowedError": {"method"},
        "OperatorBoundError": {"email"},
        "OperatorNotAllowedError": {"email"},
        "OperatorNotFoundError": {"email"},
        "OverloadedError": {"retry_after"},
        "PayloadTooLargeError": {"limit"},
        "PaymentsRefusedError": {"reason"},
        "PaymentsUnavailableError": {"retry_after"},
        "PermissionDeniedError": {"permission"},
        "PlanConflictError": {"price_id"},
        "PlanIdNotFoundError": {"plan_id"},
        "PlanNameConflictError": {"name"},
        "PlanNameNotFoundError": {"plan"},
        "ProjectConflictError": {"project_id"},
        "ProjectIncompleteError": {"missing"},
        "AgentSettingsNotFoundError": {"project_id", "agent_type"},
        "BudgetExceededError": {"account", "amount", "cap", "settled", "reserved", "way_out"},
        "ProviderKeyMissingError": {"providers", "variables"},
        "ProvidersCoolingError": {"reasons", "retry_after"},
        "ProvidersFailedError": {"reasons"},
        "QuotaExceededError": {"quota", "settled", "reserved", "next_month"},
        "ModelPriceMissingError": {"provider", "model"},
        "ProjectNotFoundError": {"project_id"},
        "TenantDeletionNotFoundError": {"deletion_id"},
        "ProjectRunningError": {"project_id"},
        "ProjectCompletedError": {"project_id"},
        "RestartRefusedError": {"status", "way_out"},
        "RunInProgressError": {"project_id"},
        "RunNotFoundError": {"project_id", "run_id"},
        "UnknownRunError": {"run_id"},
        "NothingRunsError": {"project_id"},
        "DownloadGoneError": {"project_id", "days"},
        "CostBudgetError": {"limit", "retry_after"},
        "ConnectionsFullError": {"retry_after"},
        "TooManyConnectionsError": {"limit"},
        "TooManyOperationsError": {"limit"},
        "TaskEndedError": {"task_id", "status", "reason"},
        "DocumentError": {"reason"},
        "DocumentTooLargeError": {"limit", "what"},
        "DocumentTooCostlyError": {"limit", "cost"},
        "TaskNotFoundError": {"task_id"},
        "NotYetRunError": {"project_id"},
        "TooManyWatchersError": {"limit"},
        "WatchersFullError": {"retry_after"},
        "DownloadRefusedError": {"project_id", "reason", "least"},
        "RateLimitedError": {"retry_after"},
        "RowLockedError": {"retry_after"},
        "SchemaBehindError": {"found", "needed"},
        "SettingsError": {"key", "reason"},
        "ShuttingDownError": {"retry_after"},
        "SignInFailedError": {"reason"},
        "SignInUnavailableError": {"retry_after"},
        "SubscriptionConflictError": {"kind", "reference"},
        "SubscriptionInactiveError": {"state"},
        "TooManyValuesError": {"limit"},
        "TrialEndedError": {"ended_at"},
        "AlreadyOnPlanError": {"plan"},
        "PurchaseNotFoundError": {"purchase_id"},
        "PurchaseUnpaidError": {"purchase_id", "state"},
        "CodesGoneError": {"purchase_id"},
        "HistoryNotFoundError": {"slug"},
        "StripeEventNotFoundError": {"event_id"},
        "PlanOfPriceNotFoundError": {"price", "tenant"},
        "DatabaseEncodingError": {"database", "encoding"},
        "WorkForbiddenError": {"database", "engine", "user"},
        "GraceEndedError": {"ended_at"},
        "TemplateNotFoundError": {"template_id"},
        "TenantConflictError": {"slug"},
        "TenantNotFoundError": {"slug"},
        "UnavailableError": {"retry_after"},
        "AttemptUnknownError": {"reason"},
        "ClientRefusedError": {"error"},
        "OperatorUnverifiedError": {"email"},
        "TenantRateLimitedError": {"retry_after"},
        "ContactChangeNotFoundError": {"slug"},
        "ContactChangeWaitsError": {"asked_at", "hours", "what"},
        "VersionConflictError": {"version"},
    }


def test_values_with_braces_are_told_as_they_are() -> None:
    error = errors.TenantNotFoundError(slug="{0.__class__} {slug}")

    assert error.message == "There is no tenant with the slug {0.__class__} {slug}."


def test_an_unknown_plan_is_named_as_the_front_end_reads_it() -> None:
    error = errors.PlanNameNotFoundError(plan="Gold")

    assert error.values == {"plan": "Gold"}
    assert "plan" in error.detail


async def test_the_documentation_lists_every_error(sanic_client: LiveServer) -> None:
    page = html.unescape((await sanic_client.http.get("/docs")).text)

    for error in tree():
        assert f'id="error-{error.code}"' in page
    # A branch that nothing raises is silent where its leaf says more under the same code.
    silent = [error for error in tree() if " ".join(error.paragraphs()).strip() not in page]
    assert silent == [errors.UnauthenticatedError, errors.CodeError]


def test_settings_never_show_their_secrets(settings: Settings) -> None:
    assert settings.secret_key.get_secret_value() not in repr(settings)
    assert settings.secret_key.get_secret_value() not in str(settings.model_dump())
