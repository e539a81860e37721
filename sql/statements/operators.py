"""Operators: their accounts, their sessions by token, and their sign-in links."""

from __future__ import annotations

from sqlalchemy import LargeBinary, String, Text, bindparam, delete, func, or_, select, update

from sql.dialect import batch_rows, insert, referenced_column
from sql.removal import some_of
from sql.tables import operator_sessions, operators, sign_in_links
from sql.tables.columns import Instant

_new_role = bindparam("new_role", type_=operators.c.role.type)
_new_name = bindparam("new_name", type_=String)
_is_renamed = func.coalesce(operators.c.name, "") != func.coalesce(_new_name, operators.c.name, "")
_checked_hash = bindparam("checked_hash", type_=Text)
_account = (operators.c.id, operators.c.email, operators.c.name, operators.c.role, operators.c.disabled_at)

operator_by_id = select(*_account).where(operators.c.id == bindparam("operator_id"))

operator_by_email = select(*_account).where(operators.c.email == bindparam("email"))

password_by_email = select(operators.c.id, operators.c.email, operators.c.password_hash, operators.c.disabled_at).where(
    operators.c.email == bindparam("email")
)

all_operators = select(
    *_account,
    operators.c.password_hash.is_not(None).label("has_password"),
    operators.c.oidc_subject.is_not(None).label("is_bound"),
).order_by(operators.c.email)

any_operator = select(operators.c.id).where(operators.c.disabled_at.is_(None)).limit(1)

# The account is locked until the session exists: a transaction that unbinds the account at the same time waits, and
# then ends that session too.
operator_by_subject = (
    select(*_account)
    .where(
        operators.c.oidc_issuer == bindparam("oidc_issuer"),
        operators.c.oidc_subject == bindparam("oidc_subject"),
    )
    .with_for_update(key_share=True)
)

# Returns no row if the address, or the provider's subject, already has an account.
insert_operator = insert(operators).on_conflict_do_nothing().returning(operators.c.id)

# Binds an account to the first subject that signs in with the account's address.
bind_to_subject = (
    update(operators)
    .where(
        operators.c.email == bindparam("of_email"),
        operators.c.oidc_issuer.is_(None),
        operators.c.oidc_subject.is_(None),
    )
    .values(
        oidc_issuer=bindparam("new_issuer"),
        oidc_subject=bindparam("new_subject"),
        updated_at=bindparam("now"),
    )
)

unbind_from_subject = (
    update(operators)
    .where(
        operators.c.email == bindparam("of_email"),
        or_(operators.c.oidc_issuer.is_not(None), operators.c.oidc_subject.is_not(None)),
    )
    .values(oidc_issuer=None, oidc_subject=None, updated_at=bindparam("now"))
    .returning(operators.c.id)
)

# Changes the row only if a value differs, so that no event reports a change that did not happen. No name is erased.
update_operator = (
    update(operators)
    .where(
        operators.c.email == bindparam("of_email"),
        or_(
            operators.c.role != _new_role,
            operators.c.disabled_at.is_not(None),
            _is_renamed,
        ),
    )
    .values(
        role=_new_role,
        name=func.coalesce(_new_name, operators.c.name),
        disabled_at=None,
        updated_at=bindparam("now"),
    )
)

# Updates an existing operator from the identity provider's claims; never enables a disabled account.
update_from_provider = (
    update(operators)
    .where(
        operators.c.id == bindparam("of_operator_id"),
        operators.c.disabled_at.is_(None),
        or_(
            operators.c.role != func.coalesce(_new_role, operators.c.role),
            _is_renamed,
        ),
    )
    .values(
        role=func.coalesce(_new_role, operators.c.role),
        name=func.coalesce(_new_name, operators.c.name),
        updated_at=bindparam("now"),
    )
)

set_password = (
    update(operators)
    .where(operators.c.id == bindparam("of_operator_id"), operators.c.disabled_at.is_(None))
    .values(password_hash=bindparam("new_password_hash"), updated_at=bindparam("now"))
    .returning(operators.c.email)
)

# Replaces the hash of the same password with one of today's costs, unless the password was changed in the meantime.
rehash_password = (
    update(operators)
    .where(operators.c.id == bindparam("of_operator_id"), operators.c.password_hash == bindparam("of_password_hash"))
    .values(password_hash=bindparam("new_password_hash"))
)

disable_operator = (
    update(operators)
    .where(operators.c.email == bindparam("of_email"), operators.c.disabled_at.is_(None))
    .values(disabled_at=bindparam("now"), updated_at=bindparam("now"))
    .returning(operators.c.id)
)

_requests = batch_rows(token_hash=LargeBinary)

sessions_by_token = (
    select(
        operator_sessions.c.token_hash,
        operator_sessions.c.id,
        operator_sessions.c.operator_id,
        operators.c.email,
        operators.c.name,
        operators.c.role,
        operator_sessions.c.last_activity,
        operator_sessions.c.expires_at,
    )
    .select_from(_requests)
    .join(operator_sessions, operator_sessions.c.token_hash == _requests.c.token_hash)
    .join(operators, operators.c.id == operator_sessions.c.operator_id)
    .where(operators.c.disabled_at.is_(None))
)

# The condition on last_activity limits the writes, however many requests come at the same moment.
touch_session = (
    update(operator_sessions)
    .where(operator_sessions.c.id == bindparam("session_id"), operator_sessions.c.last_activity < bindparam("before"))
    .values(last_activity=bindparam("now"))
)

# A session begins only for an enabled account, and only if a password that was checked is still the account's. The
# account is locked: a transaction that disables it or sets a password at the same time waits, and then ends this
# session.
insert_session = (
    insert(operator_sessions)
    .from_select(
        ["operator_id", "token_hash", "last_activity", "expires_at", "created_at"],
        select(
            operators.c.id,
            bindparam("token_hash", type_=operator_sessions.c.token_hash.type),
            bindparam("now", type_=Instant),
            bindparam("expires_at", type_=Instant),
            bindparam("now", type_=Instant),
        )
        .where(
            operators.c.id == bindparam("operator_id"),
            operators.c.disabled_at.is_(None),
            or_(_checked_hash.is_(None), operators.c.password_hash == _checked_hash),
        )
        .with_for_update(key_share=True),
    )
    .returning(operator_sessions.c.id)
)

end_session = (
    delete(operator_sessions)
    .where(operator_sessions.c.token_hash == bindparam("token_hash"))
    .returning(
        operator_sessions.c.id,
        operator_sessions.c.operator_id,
        referenced_column(operators.c.email, operators.c.id, operator_sessions.c.operator_id),
    )
)

end_sessions_of_operator = delete(operator_sessions).where(operator_sessions.c.operator_id == bindparam("operator_id"))

end_stale_sessions = some_of(
    operator_sessions,
    or_(
        operator_sessions.c.expires_at <= bindparam("ended_before"),
        operator_sessions.c.last_activity <= bindparam("idle_since"),
    ),
)

insert_sign_in_link = insert(sign_in_links)

# One that lasts longer was made by a clock that stood ahead.
_is_good_link = (
    sign_in_links.c.expires_at > bindparam("now"),
    sign_in_links.c.expires_at <= bindparam("latest"),
)
sign_in_link = (
    select(operators.c.id.label("operator_id"), operators.c.email)
    .join(sign_in_links, sign_in_links.c.operator_id == operators.c.id)
    .where(
        sign_in_links.c.token_hash == bindparam("token_hash"),
        *_is_good_link,
        operators.c.disabled_at.is_(None),
    )
)

# Deleting the row uses the link; of two requests at the same time, the second deletes nothing.
consume_sign_in_link = (
    delete(sign_in_links)
    .where(sign_in_links.c.token_hash == bindparam("token_hash"), *_is_good_link)
    .returning(sign_in_links.c.operator_id)
)

delete_sign_in_links_of_operator = delete(sign_in_links).where(sign_in_links.c.operator_id == bindparam("operator_id"))

delete_stale_sign_in_links = some_of(sign_in_links, sign_in_links.c.expires_at <= bindparam("now"))
