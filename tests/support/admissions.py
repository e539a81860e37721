"""Who gets in with an identity provider and as what: by its answer, by the portal's settings and by the claims."""

from __future__ import annotations

from typing import Any

from support.provider_sign_in import ANN

# What a provider does wrong, and what the refusal says of it.
MISDEEDS = {
    "wrong_nonce": "it belongs to another attempt",
    "no_nonce": "it belongs to another attempt",
    "wrong_audience": "it was made for another application",
    "many_audiences": "it was made for another application",
    "wrong_party": "it was made for another application",
    "wrong_issuer": "it comes from another issuer",
    "expired": "it has expired",
    "no_end": "it has expired",
    "future": "it comes from the future",
    "no_subject": "it names nobody",
    "wrong_key": "its signature is wrong",
    "unknown_key": "its signature is wrong",
    "shared_secret": "its signature is wrong",
    "no_signature": "its signature is wrong",
    "nonsense": "its signature is wrong",
    "refuse_code": "the code is refused",
    "say_no": "the provider has refused",
    "wrong_state": "it was not asked for by this browser",
}
OF_EXAMPLE = {"oidc_allowed_domains": "example.com"}
BY_CLAIM = {"oidc_role_claim": "roles"}
BY_DEEP_CLAIM = {"oidc_role_claim": "a.b.roles"}
BY_ACCESS_CLAIM = {"oidc_role_claim": "access.roles"}
# The settings of a portal, and whoever comes to it with their claims and the role in which they get in.
ADMISSIONS: list[tuple[dict[str, str], list[tuple[dict[str, Any], str | None]]]] = [
    ({}, [(ANN, None)]),
    ({"oidc_allowed_emails": "bob@example.com"}, [(ANN, None)]),
    ({"oidc_allowed_emails": "ANN@example.com"}, [(ANN, "operator")]),
    ({"oidc_allowed_domains": "@Example.com"}, [(ANN, "operator")]),
    ({"oidc_allowed_domains": "kite.example"}, [({"email": "ann@\u212aite.example"}, None)]),
    ({**OF_EXAMPLE, "oidc_default_role": ""}, [(ANN, None)]),
    ({**OF_EXAMPLE, "oidc_default_role": "read_only"}, [(ANN, "read_only")]),
    ({**OF_EXAMPLE, "oidc_role_claim": "roles"}, [(ANN, "operator")]),
    ({**BY_CLAIM, "oidc_default_role": ""}, [({**ANN, "roles": "operator"}, "operator")]),
    ({"oidc_role_claim": "https://x.example/roles"}, [({**ANN, "https://x.example/roles": ["owner"]}, "owner")]),
    (
        OF_EXAMPLE,
        [
            (ANN, "operator"),
            ({"email": "ann@evil-example.com"}, None),
            ({"email": "ann@example.com.evil.com"}, None),
            ({"email": "ann@evil.com@example.com"}, None),
            ({"email": "ann@sub.example.com"}, None),
            ({"email": ["ann@example.com"]}, None),
            ({}, None),
        ],
    ),
    (
        BY_CLAIM,
        [
            (ANN, None),
            ({**ANN, "roles": "owner"}, "owner"),
            ({**ANN, "roles": ["staff", "read_only", "operator"]}, "operator"),
            ({**ANN, "roles": ["staff"]}, None),
            ({**ANN, "roles": {"owner": {"org-1": "example.com"}, "read_only": 1}}, "owner"),
            ({**ANN, "roles": {"owner": False, "operator": None, "read_only": []}}, None),
            ({**ANN, "roles": [{"owner": True}, 7, None, True]}, None),
        ],
    ),
    (
        BY_ACCESS_CLAIM,
        [
            ({**ANN, "access": {"roles": ["read_only"]}}, "read_only"),
            ({**ANN, "access": "roles", "roles": "owner"}, None),
        ],
    ),
    (
        BY_DEEP_CLAIM,
        [
            ({**ANN, "a": {"b": {"roles": "owner"}}}, "owner"),
            ({**ANN, "a.b": {"roles": "owner"}, "a": {"b": 1}}, "owner"),
        ],
    ),
]
# The claim of the role, the claims of a token, what the provider tells beside it, and what comes of it.
OF_USERINFO: list[tuple[str, dict[str, Any], dict[str, Any], int, str | None]] = [
    ("roles", ANN, {"roles": ["owner"]}, 303, "owner"),
    # What the token says holds.
    ("roles", {**ANN, "roles": ["read_only"]}, {"roles": ["owner"]}, 303, "read_only"),
    ("roles", ANN, {"roles": ["owner"], "email": "other@example.com", "name": "Other"}, 303, "owner"),
    ("roles", ANN, {"sub": "person-2", "roles": ["owner"]}, 401, None),
    ("roles", {"email": "ann@example.com"}, {"roles": ["owner"], "email": "other@example.com"}, 403, None),
    ("access.roles", {**ANN, "access": {"other": 1}}, {"access": {"roles": ["owner"]}}, 303, "owner"),
]
