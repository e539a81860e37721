"""The rules of projects: the ids that they get, which may run, and when a code is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.services.billing.allowance import Standing, may
from app.services.projects.details import Project
from app.services.projects.rules import Assignment, family_of, judge_assignment, may_run

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECONDS = 1_700_000_000


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("Hat Shop", "hat-shop"),
        ("  --Hat__Shop!! 2--", "hat-shop-2"),
        ("ÄÖÜ Café", "caf"),
        ("x" * 120, "x" * 100),
        # Cut after its hyphens were trimmed.
        ("y" * 99 + " z", "y" * 99 + "-"),
        ("日本語", f"project-7-{SECONDS}"),
        ("***", f"project-7-{SECONDS}"),
    ],
)
def test_an_id_is_made_of_a_name(name: str, base: str) -> None:
    assert family_of(name, 7, SECONDS).free_id(set(), SECONDS) == base


@pytest.mark.parametrize(
    ("name", "taken", "free"),
    [
        ("a", {"a"}, "a_001"),
        ("a", {"a", "a_001", "a_002"}, "a_003"),
        ("a", {"a", "a_002"}, "a_001"),
        ("a", {"a_001"}, "a"),
        ("a", {"a", *(f"a_{number:03}" for number in range(1, 1000))}, f"a-{SECONDS}"),
        ("b" * 100, {"b" * 100}, "b" * 96 + "_001"),
        (
            "b" * 100,
            {"b" * 100, *("b" * 96 + f"_{number:03}" for number in range(1, 1000))},
            "b" * 89 + f"-{SECONDS}",
        ),
    ],
)
def test_a_taken_id_gets_the_first_free_number(name: str, taken: set[str], free: str) -> None:
    assert family_of(name, 7, SECONDS).free_id(taken, SECONDS) == free


def project(**more: Any) -> Project:
    """A project that may be run, unless something of it differs."""
    good: dict[str, Any] = {
        "id": 1,
        "project_id": "hats",
        "tenant_id": 7,
        "tenant_name": "Acme",
        "tenant_slug": "acme",
        # Kept for lists; what counts is how the subscription stands.
        "subscription_state": None,
        "name": "Hats",
        "client_name": None,
        "description": "About hats",
        "custom_instructions": "Sell them",
        "is_active": True,
        "priority": "normal",
        "provider_override": None,
        "model_override": None,
        "temperature_override": None,
        "max_tokens_override": None,
        "monthly_budget_override": None,
        "activation_code_id": 3,
        "execution_status": "pending",
        "run_id": None,
        "show_completion_modal": True,
        "version": 1,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Project(**{**good, **more})


@pytest.mark.parametrize(
    ("state", "code"),
    [("trialing", None), (None, "subscription_missing"), ("past_due", "subscription_inactive")],
)
def test_a_subscription_decides_what_is_run(state: str | None, code: str | None) -> None:
    assert may_run(project(), Standing(state), NOW).code == code


@pytest.mark.parametrize(
    ("differs", "code"),
    [
        ({}, None),
        ({"description": None}, None),
        ({"tenant_id": None}, "project_without_tenant"),
        ({"activation_code_id": None}, "project_without_code"),
        ({"custom_instructions": None}, "project_incomplete"),
        ({"custom_instructions": " ", "description": None}, "project_incomplete"),
    ],
)
def test_a_project_says_why_it_cannot_be_run(differs: dict[str, Any], code: str | None) -> None:
    assert may_run(project(**differs), Standing("active"), NOW).code == code


def test_what_an_incomplete_project_lacks_is_named() -> None:
    lacks = [
        may_run(project(custom_instructions=None, **more), Standing("active"), NOW).values["fields"]
        for more in ({}, {"description": None})
    ]

    assert lacks == [["objectives"], ["description", "objectives"]]


@pytest.mark.parametrize(
    ("state", "has_projects", "code"),
    [
        ("active", False, None),
        ("active", True, None),
        ("trialing", False, None),
        ("trialing", True, "trial_project_limit"),
        ("past_due", False, "subscription_inactive"),
        ("canceled", True, "subscription_inactive"),
        (None, False, "subscription_missing"),
    ],
)
def test_a_subscription_allows_projects(state: str | None, has_projects: bool, code: str | None) -> None:
    assert may("create_project", Standing(state), NOW, has_projects=has_projects).code == code


@pytest.mark.parametrize("action", ["activate_device", "refresh_token", "run_project"])
def test_a_trial_limits_nothing_but_new_projects(action: Any) -> None:
    assert may(action, Standing("trialing"), NOW, has_projects=True).allowed


@pytest.mark.parametrize(
    ("differs", "code"),
    [
        ({}, None),
        ({"project_code_id": 4}, "project_has_code"),
        ({"code_id": None}, "activation_code_invalid"),
        ({"revoked_at": NOW}, "activation_code_revoked"),
        ({"expires_at": NOW}, "activation_code_expired"),
        ({"expires_at": NOW + timedelta(seconds=1)}, None),
        ({"use_count": 2}, "activation_code_used_up"),
        ({"revoked_at": NOW, "expires_at": NOW, "use_count": 2}, "activation_code_revoked"),
        ({"project_code_id": 4, "code_id": None}, "project_has_code"),
    ],
)
def test_a_code_is_refused_for_a_reason(differs: dict[str, Any], code: str | None) -> None:
    good = Assignment(None, 3, None, None, 1, 2)

    assert judge_assignment(good._replace(**differs), "hats", NOW).code == code
    assert judge_assignment(None, "hats", NOW).code == "project_not_found"
