"""An OpenID Connect provider in a process of its own, which vouches for whom the test names and misbehaves on demand.

A test follows the portal's redirect as a browser would and adds to the address what the provider is to do: the
claims to put into the ID token, and ``misbehave``.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

CLIENT_ID = "addon-portal"
CLIENT_SECRET = "a secret: of the client"


@dataclass(frozen=True)
class Provider:
    """A running provider."""

    issuer: str
    process: subprocess.Popen[str]

    @property
    def settings(self) -> dict[str, Any]:
        """The portal's settings for this provider; nobody is allowed yet."""
        return {"oidc_issuer": self.issuer, "oidc_client_id": CLIENT_ID, "oidc_client_secret": CLIENT_SECRET}

    def stop(self) -> None:
        """Let it answer no more."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def provider_process() -> Iterator[Provider]:
    """Start a provider; it is gone when the block ends."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Provider(process.stdout.readline().strip(), process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class _Handler(BaseHTTPRequestHandler):
    """One request; the codes that were given out are kept on the class, each for one use."""

    codes: dict[str, dict[str, str]]
    people: dict[str, dict[str, Any]]
    issuer: str
    keys: dict[str, Any]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.path == "/.well-known/openid-configuration":
            self._answer(
                {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.issuer}/authorize",
                    "token_endpoint": f"{self.issuer}/token",
                    "jwks_uri": f"{self.issuer}/jwks",
                    "userinfo_endpoint": f"{self.issuer}/userinfo",
                    "token_endpoint_auth_methods_supported": ["client_secret_basic"],
                }
            )
        elif parts.path == "/jwks":
            odd = {"kty": "AKP", "kid": "odd", "alg": "ML-DSA-44", "pub": "AA"}
            self._answer({"keys": [odd, {**self.keys["right"].as_dict(private=False), "use": "sig"}]})
        elif parts.path == "/authorize":
            self._authorize(query)
        elif parts.path == "/userinfo":
            self._answer(self.people.get(self.headers.get("authorization", "").removeprefix("Bearer "), {}))
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        form = dict(parse_qsl(body))
        basic = base64.b64decode(self.headers.get("authorization", "").removeprefix("Basic ")).decode()
        client, _, secret = basic.partition(":")
        if (unquote(client), unquote(secret)) != (CLIENT_ID, CLIENT_SECRET):
            said = f"Invalid client credentials\nfor {unquote(secret)}"
            self._answer({"error": "invalid_client", "error_description": said}, 401)
            return
        given = self.codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        is_sound = (
            given is not None
            and given["redirect_uri"] == form.get("redirect_uri")
            and given["code_challenge"] == challenge.decode().rstrip("=")
        )
        if not is_sound or given is None or given.get("misbehave") == "refuse_code":
            said = f"Code {form.get('code')} is not valid"
            self._answer({"error": "invalid_grant", "error_description": said}, 400)
            return
        if given.get("misbehave") == "break":
            self._answer({"error": "server_error", "error_description": "the vault is closed"}, 500)
            return
        access = secrets.token_urlsafe(8)
        self.people[access] = {"sub": "person-1"} | json.loads(given.get("userinfo", "{}"))
        self._answer({"access_token": access, "token_type": "Bearer", "id_token": self._id_token(given)})

    def _authorize(self, query: dict[str, str]) -> None:
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        answer = {"code": code, "state": query["state"]}
        if query.get("misbehave") == "say_no":
            said = "Consent was\nnot given <b>"
            answer = {"error": "access_denied", "error_description": said, "state": query["state"]}
        if query.get("misbehave") == "wrong_state":
            answer["state"] = secrets.token_urlsafe(16)
        self.send_response(302)
        self.send_header("location", f"{query['redirect_uri']}?{urlencode(answer)}")
        self.end_headers()

    def _id_token(self, given: dict[str, str]) -> str:
        from joserfc import jwt

        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": "person-1",
            "iat": now,
            "exp": now + 300,
            "nonce": given["nonce"],
            **json.loads(given.get("claims", "{}")),
        }
        how = given.get("misbehave", "")
        wrong: dict[str, dict[str, Any]] = {
            "wrong_nonce": {"nonce": "another"},
            "no_nonce": {"nonce": None},
            "wrong_audience": {"aud": "another-application"},
            "many_audiences": {"aud": [CLIENT_ID, "another-application"]},
            "wrong_party": {"aud": [CLIENT_ID, "another"], "azp": "another"},
            "wrong_issuer": {"iss": "https://elsewhere.example"},
            "expired": {"exp": now - 120},
            "no_end": {"exp": None},
            "future": {"iat": now + 900},
            "no_subject": {"sub": None},
        }
        claims |= wrong.get(how, {})
        claims = {name: value for name, value in claims.items() if value is not None}
        key = self.keys["wrong" if how == "wrong_key" else "right"]
        header = {"alg": "RS256", "kid": "unknown" if how == "unknown_key" else "key-1"}
        if how == "shared_secret":
            # The public key as a shared secret: the oldest trick there is.
            signed = f"{_part({'alg': 'HS256', 'kid': 'key-1'})}.{_part(claims)}"
            secret = self.keys["right"].as_pem(private=False)
            return f"{signed}.{_encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"
        token = jwt.encode(header, claims, key, algorithms=["RS256"])
        if how == "no_signature":
            return f"{_part({'alg': 'none'})}.{_part(claims)}."
        return "nonsense" if how == "nonsense" else token

    def _answer(self, body: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _part(content: dict[str, Any]) -> str:
    return _encoded(json.dumps(content).encode())


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def main() -> None:
    """Serve on a free port and print the issuer's address."""
    from joserfc.jwk import RSAKey

    right, wrong = (RSAKey.generate_key(2048, {"kid": "key-1"}) for _ in range(2))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    _Handler.codes, _Handler.people = {}, {}
    _Handler.issuer = f"http://127.0.0.1:{server.server_port}"
    _Handler.keys = {"right": right, "wrong": wrong}
    sys.stdout.write(f"{_Handler.issuer}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
