"""The URLs among the settings: what each kind must be, told without the URL where it may hold a password."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

# Stores of files that are no folder.
STORES = ("s3", "gs", "az")
# Settings that are absolute addresses, which people are shown.
SHOWN_SETTINGS = (
    "public_url",
    "billing_return_url",
    "tenant_sign_in_url",
    "oidc_issuer",
    "openai_base_url",
    "anthropic_base_url",
    "google_base_url",
    "stripe_api_base",
)


def origin(url: str) -> str:
    """An origin in lower case; raises ValueError for anything else, as all of these do."""
    parts = urlsplit(url.lower())
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query:
        raise ValueError(f"{url!r} is not an origin such as https://portal.example.com")
    return url.lower()


def server_url(url: str, schemes: tuple[str, str]) -> str:
    """The URL of a server, of one of these schemes; it may hold a password."""
    if not _names_a_host(_split(url), schemes):
        raise ValueError(f"must start with {schemes[0]}:// or {schemes[1]}:// and name a host")
    return url


def shown_url(url: str) -> str:
    """A URL that is shown to people, so without a user and a password."""
    parts = _split(url)
    is_valid = _names_a_host(parts, ("http", "https"))
    if is_valid and "@" in parts.netloc:
        raise ValueError("must contain no user and no password, because it is shown")
    if not is_valid or parts.query or parts.fragment or any(character.isspace() for character in url):
        raise ValueError(f"{url!r} is not an absolute address such as https://portal.example.com")
    return url


def own_host(url: str) -> str:
    """The URL of a host name of the portal's own: its links, forms, cookies and documents begin at the root."""
    if urlsplit(shown_url(url)).path not in {"", "/"}:
        raise ValueError(
            f"{url!r} is below another address; give the portal a host name of its own, and leave the path out"
        )
    return url


def store_url(url: str) -> str:
    """Where files are kept: a folder or a bucket, without credentials."""
    parts = _split(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must contain no user, no password and no options; they come from the environment")
    is_folder = parts.scheme == "file" and not parts.netloc and len(parts.path) > 1
    if not is_folder and not (parts.scheme in STORES and parts.netloc):
        raise ValueError(f"must be file:///folder, or start with {', '.join(f'{name}://' for name in STORES)}")
    return url


def _split(url: str) -> SplitResult:
    """The parts of a URL; those of an empty one where it has none."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what raises
    except ValueError:
        return urlsplit("")
    return parts


def _names_a_host(parts: SplitResult, schemes: Collection[str]) -> bool:
    return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
