"""The state folder of an installation, and the secret key that development keeps in it."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from app.errors import SettingsError

SECRET_KEY_FILE = "secret_key"  # noqa: S105 - the name of a file, not a secret
OWNER_ONLY = 0o700


def make_state_dir(state_dir: Path) -> None:
    """Create the state folder, accessible to its owner only; an existing one is not changed."""
    state_dir.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)


def generated_secret(state_dir: Path) -> str:
    """The secret key of development, generated at first use.

    The link makes the file appear complete and at most once, so that two processes that start together use the same
    key.
    """
    path = state_dir / SECRET_KEY_FILE
    try:
        make_state_dir(state_dir)
        state_dir.chmod(OWNER_ONLY)
        with contextlib.suppress(FileExistsError):
            draft = state_dir / f".{SECRET_KEY_FILE}.{os.getpid()}"
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_urlsafe(48))
            try:
                os.link(draft, path)
            finally:
                draft.unlink()
        return path.read_text().strip()
    except OSError as failure:
        reason = f"cannot keep a generated secret in {state_dir} ({failure.strerror})"
        raise SettingsError(key="state_dir", variable="PORTAL_STATE_DIR", reason=reason) from None
