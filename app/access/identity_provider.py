"""Sign-in with an OpenID Connect provider: discovery, the authorization code flow with PKCE, ID token validation."""

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

import structlog
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import Key, KeySet, import_key

from app.access.claims import claim_at
from app.access.discovery import RETRY_SECONDS, Discovery, discovery_from
from app.access.provider_words import CLIENT_ERRORS, ProviderWords, words_of
from app.certificates import trusted_authorities
from app.clock import Clock
from app.errors import ClientRefusedError, SignInFailedError, SignInUnavailableError
from app.settings import Settings

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

SCOPES = "openid email profile"
CALLBACK_PATH = "/auth/callback"
# Only asymmetric signatures: no shared secrets (HS256), and never unsigned tokens (none).
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
KEY_TYPES = frozenset({"RSA", "EC", "OKP"})
TIMEOUT_SECONDS = 10.0
# How long discovery and keys are cached, and how old the keys must be before a wrong signature loads them again.
DISCOVERY_SECONDS = 3600.0
KEYS_SECONDS = 5.0
# How long nobody asks the provider again after discovery has failed.
SILENCE_SECONDS = 5.0
# The maximum length of a subject in OpenID Connect.
MAX_SUBJECT = 255
# The difference between clocks that token times may have.
LEEWAY_SECONDS = 60

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to sign in: random values that bind the provider's answer to the browser that began it."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> Attempt:
        """A new attempt with random values."""
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))

    @property
    def challenge(self) -> str:
        """The PKCE code challenge of the verifier (method S256)."""
        return urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).decode().rstrip("=")


class IdentityProvider:
    """The configured provider; its HTTP client is created at the first request."""

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
        """Whether the settings name a provider."""
        return bool(self._settings.oidc_issuer and self._settings.oidc_client_id)

    @property
    def callback(self) -> str:
        """The redirect URI, to which the provider sends the browser back; it must be registered with the provider."""
        return self._settings.public_url.rstrip("/") + CALLBACK_PATH

    async def address(self, attempt: Attempt) -> str:
        """The authorization URL, to which the browser is redirected; raises SignInUnavailableError."""
        discovery = await self.discovery()
        parameters = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": self.callback,
            "scope": SCOPES,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        separator = "&" if "?" in discovery.authorization_endpoint else "?"
        return discovery.authorization_endpoint + separator + urlencode(parameters)

    async def claims(self, attempt: Attempt, code: str) -> Mapping[str, Any]:
        """The claims of the ID token that the provider returns for a code, completed from the userinfo endpoint.

        Raises SignInFailedError when the code or the ID token is invalid, SignInUnavailableError when the provider does
        not answer.
        """
        discovery = await self.discovery()
        tokens = await self._exchange(discovery, attempt, code)
        claims = await self._verified(discovery, str(tokens.get("id_token")), attempt.nonce)
        role_claim = self._settings.oidc_role_claim
        has_role = not role_claim or claim_at(claims, role_claim) is not None
        is_complete = has_role and {"email", "email_verified"} <= claims.keys()
        if is_complete or discovery.userinfo_endpoint is None:
            return claims
        bearer = {"authorization": f"Bearer {tokens.get('access_token')}"}
        response = await self._ask("GET", discovery.userinfo_endpoint, headers=bearer)
        userinfo = self._object(response, "userinfo", "it names nobody")
        if userinfo.get("sub") != claims["sub"]:
            raise SignInFailedError(reason="it speaks of two different people")
        if not has_role and (found := claim_at(userinfo, role_claim)) is not None:
            # Under its whole name, because the token may have a part of the path.
            claims = {**claims, role_claim: found}
        if claims.get("email", userinfo.get("email")) != userinfo.get("email"):
            # The two addresses differ, so email_verified of one says nothing about the other.
            return claims
        return {**userinfo, **claims}

    async def try_client(self) -> ProviderWords:
        """What the provider says to this client with a code that it has not given out.

        ``invalid_grant`` means that it has accepted the client and its secret. Raises ClientRefusedError where it has
        not, SignInUnavailableError where the provider does not answer.
        """
        discovery = await self.discovery()
        attempt = Attempt.new()
        response = await self._post_code(discovery, attempt, secrets.token_urlsafe(24))
        return self._words(response, "")

    async def discovery(self) -> Discovery:
        """The provider's discovery document, read once an hour; raises SignInUnavailableError."""
        if not self.is_configured:
            raise SignInUnavailableError(retry_after=RETRY_SECONDS)
        async with self._loading:
            if self._discovery is None or self._discovery[0] + DISCOVERY_SECONDS < _seconds():
                if self._silent_until > _seconds():
                    raise SignInUnavailableError(retry_after=RETRY_SECONDS)
                # If the request fails, the callers waiting for the lock must not each wait for another time-out.
                self._silent_until = _seconds() + SILENCE_SECONDS
                issuer = self._settings.oidc_issuer.rstrip("/")
                try:
                    response = await self._ask("GET", f"{issuer}/.well-known/openid-configuration")
                except asyncio.CancelledError:
                    # The caller's request was cancelled; the provider has not failed, so the next caller may ask it.
                    self._silent_until = 0.0
                    raise
                self._discovery = _seconds(), discovery_from(issuer, response)
                self._silent_until = 0.0
            return self._discovery[1]

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _exchange(self, discovery: Discovery, attempt: Attempt, code: str) -> Mapping[str, Any]:
        response = await self._post_code(discovery, attempt, code)
        if response.status_code >= 400:
            words = self._refusal(response, "token", code)
            raise SignInFailedError(reason=f"the code is refused{words.in_brackets}")
        return self._object(response, "token", "the code is refused")

    async def _post_code(self, discovery: Discovery, attempt: Attempt, code: str) -> Response:
        client, secret = self._settings.oidc_client_id, self._settings.oidc_client_secret.get_secret_value()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.callback,
            "code_verifier": attempt.verifier,
        }
        options: dict[str, Any] = {}
        if secret and discovery.takes_basic:
            options["auth"] = (quote(client, safe=""), quote(secret, safe=""))
        else:
            form |= {"client_id": client, **({"client_secret": secret} if secret else {})}
        return await self._ask("POST", discovery.token_endpoint, data=form, **options)

    def _refusal(self, response: Response, place: str, code: str) -> ProviderWords:
        """The provider's words, which the log keeps; raises ClientRefusedError where they are about this client."""
        words = words_of(_body(response), (code, self._settings.oidc_client_secret.get_secret_value()))
        log.warning("identity_provider_refused", place=place, status=response.status_code, **words._asdict())
        return self._words(response, code)

    def _words(self, response: Response, code: str) -> ProviderWords:
        words = words_of(_body(response), (code, self._settings.oidc_client_secret.get_secret_value()))
        if words.error in CLIENT_ERRORS or response.status_code == 401:
            raise ClientRefusedError(error=words.error or "invalid_client", retry_after=RETRY_SECONDS)
        return words

    def _object(self, response: Response, place: str, reason: str) -> Mapping[str, Any]:
        """The JSON object of a response; raises SignInFailedError with this reason for any other response."""
        body = _body(response)
        if response.status_code == 200 and isinstance(body, dict):
            return body
        words = words_of(body, (self._settings.oidc_client_secret.get_secret_value(),))
        log.warning("identity_provider_refused", place=place, status=response.status_code, **words._asdict())
        raise SignInFailedError(reason=reason + words.in_brackets)

    async def _verified(self, discovery: Discovery, id_token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token that this provider signed for this client and attempt, and that is current."""
        try:
            try:
                claims = jwt.decode(id_token, await self._key_set(discovery), algorithms=ALGORITHMS).claims
            except (InvalidKeyIdError, BadSignatureError):
                # The provider may have rotated its keys since they were loaded.
                keys = await self._key_set(discovery, max_age=KEYS_SECONDS)
                claims = jwt.decode(id_token, keys, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError, TypeError, KeyError):
            raise SignInFailedError(reason="its signature is wrong") from None
        if reason := self._reason_to_refuse(discovery, claims, nonce):
            raise SignInFailedError(reason=reason)
        return claims

    def _reason_to_refuse(self, discovery: Discovery, claims: Mapping[str, Any], nonce: str) -> str | None:
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
        is_valid = isinstance(subject, str) and 0 < len(subject) <= MAX_SUBJECT and "\x00" not in subject
        return None if is_valid else "it names nobody"

    async def _key_set(self, discovery: Discovery, *, max_age: float = DISCOVERY_SECONDS) -> KeySet:
        """The provider's keys, loaded at most ``max_age`` seconds ago."""
        async with self._loading:
            if self._keys is None or self._keys[0] + max_age < _seconds():
                response = await self._ask("GET", discovery.jwks_uri)
                jwks = self._object(response, "keys", "its keys cannot be read").get("keys")
                self._keys = _seconds(), KeySet(_usable(jwks if isinstance(jwks, list) else []))
            return self._keys[1]

    async def _ask(self, method: str, address: str, **options: Any) -> Response:
        if self._client is None:
            # In a thread, because it reads the certificates from files.
            self._client = await asyncio.to_thread(_client)
        import httpx2

        try:
            response = await self._client.request(method, address, **options)
        except httpx2.HTTPError as failure:
            log.warning("identity_provider_failed", asked=address, failure=type(failure).__name__)
            raise SignInUnavailableError(retry_after=RETRY_SECONDS) from failure
        if response.status_code >= 500:
            words = words_of(_body(response), (self._settings.oidc_client_secret.get_secret_value(),))
            log.warning("identity_provider_failed", asked=address, status=response.status_code, **words._asdict())
            raise SignInUnavailableError(retry_after=RETRY_SECONDS)
        return response


def _client() -> AsyncClient:
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx2

    # The client is shared by all sign-ins, so it must store no cookies.
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return httpx2.AsyncClient(
        verify=trusted_authorities(),
        timeout=TIMEOUT_SECONDS,
        cookies=no_cookies,
        headers={"accept": "application/json"},
    )


def _body(response: Response) -> Any:
    """What a response holds as JSON, None if it is none."""
    try:
        return response.json()
    except ValueError:
        return None


def _usable(jwks: list[Any]) -> list[Key]:
    """The keys that may verify signatures; keys of unsupported types are skipped."""
    keys = []
    for jwk in jwks:
        if isinstance(jwk, dict) and jwk.get("kty") in KEY_TYPES and jwk.get("use", "sig") == "sig":
            with contextlib.suppress(JoseError, ValueError, TypeError, KeyError):
                keys.append(import_key(jwk))
    return keys


def _seconds() -> float:
    return asyncio.get_running_loop().time()
