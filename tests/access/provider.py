"""A small OpenID Connect provider on the loopback interface: real keys, real tokens, one person at a time."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID = "brainlm-test"


@dataclass
class Provider:
    """The provider and who is logged in at it.

    Parameters
    ----------
    url : str
    claims : dict
        Of the person whom it vouches for next.
    """

    url: str
    claims: dict[str, Any] = field(default_factory=dict)
    nonces: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def run_provider() -> Iterator[Provider]:
    """Serve until the block ends."""
    key = RSAKey.generate_key(2048, {"use": "sig", "kid": "k1", "alg": "RS256"})

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def _json(self, data: object) -> None:
            body = json.dumps(data).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            if path == "/.well-known/openid-configuration":
                self._json(
                    {
                        "issuer": me.url,
                        "authorization_endpoint": f"{me.url}/authorize",
                        "token_endpoint": f"{me.url}/token",
                        "jwks_uri": f"{me.url}/jwks",
                        "response_types_supported": ["code"],
                        "subject_types_supported": ["public"],
                        "id_token_signing_alg_values_supported": ["RS256"],
                    }
                )
            elif path == "/jwks":
                self._json({"keys": [key.as_dict(private=False)]})
            elif path == "/authorize":
                code = secrets.token_urlsafe(16)
                me.nonces[code] = query.get("nonce", [""])[0]
                back = urlencode({"code": code, "state": query["state"][0]})
                self.send_response(302)
                self.send_header("Location", f"{query['redirect_uri'][0]}?{back}")
                self.end_headers()
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            now = int(time.time())
            claims = {
                "iss": me.url,
                "aud": CLIENT_ID,
                "sub": "someone",
                "iat": now,
                "exp": now + 300,
                "nonce": me.nonces.pop(form["code"][0]),
                **me.claims,
            }
            token = jwt.encode({"alg": "RS256", "kid": "k1"}, claims, key)
            self._json({"access_token": "x", "token_type": "Bearer", "expires_in": 300, "id_token": token})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    me = Provider(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield me
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
