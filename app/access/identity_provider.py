"""Asking an OpenID Connect provider who somebody is: discovery, the code flow with PKCE, a verified ID token."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import Key, KeySet, import_key

from app.clock import Clock
from app.errors import SignInFailedError, SignInUnavailableError
from app.settings import Settings

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

SCOPES = "openid email profile"
CALLBACK_PATH = "/auth/callback"
# Signed with a key that only the provider has: never a shared secret, never none.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
KEY_TYPES = frozenset({"RSA", "EC", "OKP"})
TIMEOUT_SECONDS = 10.0
RETRY_SECONDS = 30
# How long what the provider says of itself is believed, and how soon keys may be asked for again.
DISCOVERY_SECONDS = 3600.0
KEYS_SECONDS = 5.0
SILENCE_SECONDS = 5.0
# As long as OpenID Connect lets a subject be.
MAX_SUBJECT = 255
# Clocks differ.
LEEWAY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Attempt:
    """What ties the provider's answer to the browser that was sent there; all of it random."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> Attempt:
        """An attempt that nobody can guess."""
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))

    @property
    def challenge(self) -> str:
        """The verifier as PKCE shows it beforehand (S256)."""
        return urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Discovery:
    """What the provider's discovery document says."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    takes_basic: bool


class IdentityProvider:
    """The configured provider, spoken to by one client that is made when it is first needed."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._client: AsyncClient | None = None
        self._discovery: tuple[float, Discovery] | None = None
        self._keys: tuple[float, KeySet] | None = None
        self._loading = asyncio.Lock()
        self._silent_until = 0.0

    @property
    def is_configured(self) -> bool:
        """Whether there is a provider to ask."""
        return bool(self._settings.oidc_issuer and self._settings.oidc_client_id)

    @property
    def callback(self) -> str:
        """Where the provider sends the browser back to; to be registered there."""
        return self._settings.public_url.rstrip("/") + CALLBACK_PATH

    async def address(self, attempt: Attempt) -> str:
        """Where to send the browser; raises SignInUnavailableError."""
        discovery = await self.discovery()
        asked = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": self.callback,
            "scope": SCOPES,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in discovery.authorization_endpoint else "?"
        return discovery.authorization_endpoint + joint + urlencode(asked)

    async def claims(self, attempt: Attempt, code: str) -> Mapping[str, Any]:
        """What the provider vouches for in exchange for a code.

        Raises SignInFailedError when the code or the ID token is not sound, SignInUnavailableError when the provider
        does not answer.
        """
        discovery = await self.discovery()
        tokens = await self._exchange(discovery, attempt, code)
        claims = await self._verified(discovery, str(tokens.get("id_token")), attempt.nonce)
        if {"email", "email_verified"} <= claims.keys() or discovery.userinfo_endpoint is None:
            return claims
        shown = {"authorization": f"Bearer {tokens.get('access_token')}"}
        told = _json(await self._ask("GET", discovery.userinfo_endpoint, headers=shown), "it names nobody")
        if told.get("sub") != claims["sub"]:
            raise SignInFailedError(reason="it speaks of two different people")
        if claims.get("email", told.get("email")) != told.get("email"):
            # That one address is verified says nothing of another.
            return claims
        return {**told, **claims}

    async def discovery(self) -> Discovery:
        """The provider's discovery document, read once an hour; raises SignInUnavailableError."""
        if not self.is_configured:
            raise SignInUnavailableError(retry_after=RETRY_SECONDS)
        async with self._loading:
            if self._discovery is None or self._discovery[0] + DISCOVERY_SECONDS < _seconds():
                if self._silent_until > _seconds():
                    raise SignInUnavailableError(retry_after=RETRY_SECONDS)
                # Those who wait meanwhile are not to ask one after the other what does not answer.
                self._silent_until = _seconds() + SILENCE_SECONDS
                issuer = self._settings.oidc_issuer.rstrip("/")
                try:
                    answered = await self._ask("GET", f"{issuer}/.well-known/openid-configuration")
                except asyncio.CancelledError:
                    # It was not the provider that gave up, but whoever asked: the next one may ask it.
                    self._silent_until = 0.0
                    raise
                self._discovery = _seconds(), _discovered(issuer, answered)
                self._silent_until = 0.0
            return self._discovery[1]

    async def close(self) -> None:
        """End the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _exchange(self, discovery: Discovery, attempt: Attempt, code: str) -> Mapping[str, Any]:
        client, secret = self._settings.oidc_client_id, self._settings.oidc_client_secret.get_secret_value()
        sent = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.callback,
            "code_verifier": attempt.verifier,
        }
        options: dict[str, Any] = {}
        if secret and discovery.takes_basic:
            options["auth"] = (quote(client, safe=""), quote(secret, safe=""))
        else:
            sent |= {"client_id": client, **({"client_secret": secret} if secret else {})}
        return _json(await self._ask("POST", discovery.token_endpoint, data=sent, **options), "the code is refused")

    async def _verified(self, discovery: Discovery, id_token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token that this provider has signed for us, for this attempt, just now."""
        try:
            try:
                claims = jwt.decode(id_token, await self._key_set(discovery), algorithms=ALGORITHMS).claims
            except (InvalidKeyIdError, BadSignatureError):
                # The provider may have changed its keys since they were read.
                fresh = await self._key_set(discovery, at_most=KEYS_SECONDS)
                claims = jwt.decode(id_token, fresh, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError, TypeError, KeyError):
            raise SignInFailedError(reason="its signature is wrong") from None
        if wrong := self._what_is_wrong(discovery, claims, nonce):
            raise SignInFailedError(reason=wrong)
        return claims

    def _what_is_wrong(self, discovery: Discovery, claims: Mapping[str, Any], nonce: str) -> str | None:
        now = self._clock.timestamp()
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        client = self._settings.oidc_client_id
        if claims.get("iss") != discovery.issuer:
            return "it comes from another issuer"
        if (
            client not in audiences
            or claims.get("azp", client) != client
            or (len(audiences) > 1 and "azp" not in claims)
        ):
            return "it was made for another application"
        expires, issued = claims.get("exp"), claims.get("iat", 0)
        if not isinstance(expires, int | float) or expires + LEEWAY_SECONDS <= now:
            return "it has expired"
        if not isinstance(issued, int | float) or issued - LEEWAY_SECONDS > now:
            return "it comes from the future"
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            return "it belongs to another attempt"
        subject = claims.get("sub")
        is_sound = isinstance(subject, str) and 0 < len(subject) <= MAX_SUBJECT and "\x00" not in subject
        return None if is_sound else "it names nobody"

    async def _key_set(self, discovery: Discovery, *, at_most: float = DISCOVERY_SECONDS) -> KeySet:
        """The provider's keys, read so many seconds ago at the most."""
        async with self._loading:
            if self._keys is None or self._keys[0] + at_most < _seconds():
                listed = _json(await self._ask("GET", discovery.jwks_uri), "its keys cannot be read").get("keys")
                self._keys = _seconds(), KeySet(_usable(listed if isinstance(listed, list) else []))
            return self._keys[1]

    async def _ask(self, method: str, address: str, **options: Any) -> Response:
        if self._client is None:
            # Reads certificates from the disk.
            self._client = await asyncio.to_thread(_client)
        import httpx2

        try:
            answer = await self._client.request(method, address, **options)
        except httpx2.HTTPError as failure:
            raise SignInUnavailableError(retry_after=RETRY_SECONDS) from failure
        if answer.status_code >= 500:
            raise SignInUnavailableError(retry_after=RETRY_SECONDS)
        return answer


def _client() -> AsyncClient:
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx2

    # One client for everybody: it keeps nobody's cookies.
    nothing = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return httpx2.AsyncClient(timeout=TIMEOUT_SECONDS, cookies=nothing, headers={"accept": "application/json"})


def _discovered(issuer: str, answer: Response) -> Discovery:
    """Read the document; what it says of itself must be what was configured, and as safe."""
    try:
        said = answer.json()
        methods = said.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        found = Discovery(
            str(said["issuer"]),
            str(said["authorization_endpoint"]),
            str(said["token_endpoint"]),
            str(said["jwks_uri"]),
            said.get("userinfo_endpoint"),
            "client_secret_basic" in methods,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as failure:
        raise SignInUnavailableError(retry_after=RETRY_SECONDS) from failure
    addresses = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri, found.userinfo_endpoint or issuer)
    is_safe = issuer.startswith("http://") or all(address.startswith("https://") for address in addresses)
    if found.issuer.rstrip("/") != issuer or not is_safe:
        raise SignInUnavailableError(retry_after=RETRY_SECONDS)
    return found


def _json(answer: Response, otherwise: str) -> Mapping[str, Any]:
    """What was answered; raises SignInFailedError with this reason when it is no answer."""
    try:
        said = answer.json()
    except ValueError:
        said = None
    if answer.status_code != 200 or not isinstance(said, dict):
        raise SignInFailedError(reason=otherwise)
    return said


def _usable(listed: list[Any]) -> list[Key]:
    """The keys that may have signed; a key of a kind that is not known here says nothing about the others."""
    keys = []
    for jwk in listed:
        if isinstance(jwk, dict) and jwk.get("kty") in KEY_TYPES and jwk.get("use", "sig") == "sig":
            with contextlib.suppress(JoseError, ValueError, TypeError, KeyError):
                keys.append(import_key(jwk))
    return keys


def _seconds() -> float:
    return asyncio.get_running_loop().time()
