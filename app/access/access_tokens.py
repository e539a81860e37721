"""Access tokens of devices: signed with EdDSA by keys that rotate; verified tokens are cached until they expire."""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.jws import extract_compact
from sqlalchemy.exc import IntegrityError

from app.access.keys import Keys
from app.clock import CLOCKS_DIFFER, Clock
from app.database.connections import Database
from app.errors import TokenExpiredError, TokenInvalidError
from app.settings import Settings
from sql.statements import licensing as statements

# RFC 9864 renames the algorithm to Ed25519; existing verifiers know it as EdDSA, so the portal keeps that name.
warnings.filterwarnings("ignore", message="EdDSA is deprecated")

ALGORITHM = "EdDSA"
MAX_CACHED_TOKENS = 50_000
# How long a replaced key still verifies after its last token has expired, because clocks differ.
CLOCK_SKEW = timedelta(seconds=60)
RELOAD_SECONDS = 30.0
UNKNOWN_KID_RELOAD_SECONDS = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key as it is stored; its private part is encrypted."""

    kid: str
    algorithm: str
    public_jwk: str
    sealed_private_jwk: bytes
    created_at: datetime
    signs_from: datetime
    verifies_until: datetime | None


@dataclass(frozen=True, slots=True)
class DeviceClaims:
    """The claims of a verified access token; ``expires_at`` is in seconds since the epoch."""

    tenant_id: int
    device_id: int
    expires_at: int
    kid: str


class AccessTokens:
    """Issues and verifies access tokens with the installation's signing keys."""

    def __init__(self, settings: Settings, db: Database, keys: Keys, clock: Clock) -> None:
        self._settings = settings
        self._db = db
        self._keys = keys
        self._clock = clock
        self._stored: dict[str, SigningKey] = {}
        self._parsed: dict[str, OKPKey] = {}
        self._cache: dict[str, DeviceClaims] = {}
        self._loaded_at = 0.0
        self._reloading: asyncio.Task[None] | None = None

    @property
    def jwks(self) -> dict[str, Any]:
        """The public keys that verify tokens, as a JWK set; a new key is in it before it signs."""
        return {"keys": [orjson.loads(key.public_jwk) for key in self._stored.values()]}

    async def load(self) -> None:
        """Load the keys from the database; create the first one if there is none."""
        keys = await self._read()
        if not keys:
            await self._store_first()
            keys = await self._read()
        if not self._stored.keys() <= keys.keys():
            self._cache.clear()
        self._parsed = {
            kid: self._parsed.get(kid) or OKPKey.import_key(orjson.loads(self._keys.open(key.sealed_private_jwk, kid)))
            for kid, key in keys.items()
        }
        self._stored = keys
        self._loaded_at = asyncio.get_running_loop().time()

    async def keep_loaded(self) -> None:
        """Reload the keys regularly, so that this worker has a rotation's new key before the key signs.

        After a failure the next reload follows: a worker that stopped reloading would trust an ended key for ever.
        """
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            try:
                await self._reload()
            except Exception as failure:  # noqa: BLE001 - the next reload may succeed
                log.warning("signing_keys_not_read", reason=str(failure))

    def issue(self, tenant_id: int, device_id: int, entitlements: dict[str, Any]) -> str:
        """Sign an access token for a device."""
        now = self._clock.now()
        key = max(
            (key for key in self._stored.values() if key.signs_from <= now),
            key=lambda key: key.signs_from,
            default=None,
        ) or min(self._stored.values(), key=lambda key: key.signs_from)
        issued = int(now.timestamp())
        claims = {
            "iss": self._settings.token_issuer,
            "aud": self._settings.token_audience,
            "iat": issued,
            "exp": issued + self._settings.access_token_seconds,
            "sub": f"tenant:{tenant_id}:device:{device_id}",
            "entitlements": entitlements,
        }
        header = {"alg": ALGORITHM, "kid": key.kid, "typ": "JWT"}
        return jwt.encode(header, claims, self._parsed[key.kid], algorithms=[ALGORITHM])

    async def verify(self, token: str) -> DeviceClaims:
        """Check signature, issuer, audience and expiry. Callers check at every request whether the device is revoked.

        Raises TokenInvalidError or TokenExpiredError.
        """
        claims = self._cache.get(token)
        if claims is None:
            claims = await self._check(token)
            if len(self._cache) >= MAX_CACHED_TOKENS:
                del self._cache[next(iter(self._cache))]
            self._cache[token] = claims
        # One that lasts longer was signed by a clock that stood ahead: its device gets another by a refresh.
        left = claims.expires_at - self._clock.timestamp()
        if not 0 < left <= self._settings.access_token_seconds + CLOCKS_DIFFER.total_seconds():
            self._cache.pop(token, None)
            raise TokenExpiredError
        return claims

    async def _check(self, token: str) -> DeviceClaims:
        try:
            kid = _kid(token)
            if kid not in self._parsed:
                await self._reload(UNKNOWN_KID_RELOAD_SECONDS)
            claims = jwt.decode(token, self._parsed[kid], algorithms=[ALGORITHM]).claims
            if claims["iss"] != self._settings.token_issuer or claims["aud"] != self._settings.token_audience:
                raise TokenInvalidError
            _, tenant_id, _, device_id = _subject(str(claims["sub"]))
            return DeviceClaims(int(tenant_id), int(device_id), int(claims["exp"]), kid)
        except (JoseError, ValueError, KeyError, TypeError):
            raise TokenInvalidError from None

    async def _reload(self, at_most_every: float = 0.0) -> None:
        """Load the keys; concurrent calls share one load."""
        if self._reloading is None or self._reloading.done():
            if asyncio.get_running_loop().time() - self._loaded_at < at_most_every:
                return
            self._reloading = asyncio.create_task(self.load())
        await asyncio.shield(self._reloading)

    async def _read(self) -> dict[str, SigningKey]:
        async with self._db.read() as conn:
            keys = await conn.many(statements.verifying_keys, SigningKey, now=self._clock.now())
        return {key.kid: key for key in keys}

    async def _store_first(self) -> None:
        now = self._clock.now()
        try:
            async with self._db.write() as conn:
                await conn.affected(statements.insert_signing_key, **new_signing_key(self._keys, now, signs_from=now))
        except IntegrityError:
            return


def new_signing_key(keys: Keys, now: datetime, *, signs_from: datetime) -> dict[str, Any]:
    """A new key as a row to insert, with its private part encrypted."""
    key = OKPKey.generate_key("Ed25519", auto_kid=True)
    kid = str(key.kid)
    public = {**key.as_dict(private=False), "alg": ALGORITHM, "use": "sig"}
    return {
        "kid": kid,
        "algorithm": ALGORITHM,
        "public_jwk": orjson.dumps(public).decode(),
        "sealed_private_jwk": keys.seal(orjson.dumps(key.as_dict(private=True)), kid),
        "created_at": now,
        "signs_from": signs_from,
        "verifies_until": None,
    }


def _kid(token: str) -> str:
    """The key id in the header of a token that is not verified yet."""
    return str(extract_compact(token.encode()).headers()["kid"])


def _subject(subject: str) -> list[str]:
    parts = subject.split(":")
    if len(parts) != 4 or parts[0] != "tenant" or parts[2] != "device":
        raise ValueError(subject)
    return parts
