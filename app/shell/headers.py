"""Headers that every answer of the server carries."""

from __future__ import annotations

from collections.abc import Iterable

#: What a page may load and run. Streamlit's styles are written by scripts ('unsafe-inline' for styles only);
#: components are modules that it makes out of text (blob:), and the WebGL views draw images from memory.
PAGE_POLICY: tuple[tuple[str, str], ...] = (
    ("default-src", "'self'"),
    ("script-src", "'self' 'wasm-unsafe-eval' blob:"),
    ("style-src", "'self' 'unsafe-inline' blob:"),
    ("img-src", "'self' data: blob:"),
    ("media-src", "'self' data: blob:"),
    ("font-src", "'self' data:"),
    ("connect-src", "'self' blob: data:"),
    ("worker-src", "'self' blob:"),
    ("frame-src", "'self' blob: data:"),
    ("object-src", "'none'"),
    ("base-uri", "'self'"),
    ("form-action", "'self'"),
    ("frame-ancestors", "'none'"),
)
#: Files that visitors download: none of them may run as a page of the dashboard.
FILE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; sandbox; frame-ancestors 'none'"
)
_FIXED = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    (
        "Permissions-Policy",
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
)


def page_policy(scripts: tuple[str, ...] = ()) -> str:
    """Return the content security policy of pages; ``scripts`` are digests of inline ones that may run."""
    more = {"script-src": " ".join(("", *scripts))}
    return "; ".join(f"{name} {value}{more.get(name, '')}" for name, value in PAGE_POLICY)


def safe_headers(
    headers: Iterable[tuple[bytes, bytes]], *, policy: str, https: bool
) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers with ours in place of whatever they said.

    Parameters
    ----------
    headers : pairs of bytes
        Of the answer as it was made.
    policy : str
        Its content security policy.
    https : bool
        Whether people reach the dashboard through TLS: cookies are for TLS only then.
    """
    ours = [*_FIXED, ("Content-Security-Policy", policy)]
    if https:
        ours.append(("Strict-Transport-Security", "max-age=31536000"))
    names = {name.lower().encode() for name, _ in ours}
    kept = [
        (name, _for_tls_only(value) if https and name.lower() == b"set-cookie" else value)
        for name, value in headers
        if name.lower() not in names
    ]
    return [*kept, *((name.lower().encode(), value.encode()) for name, value in ours)]


def _for_tls_only(cookie: bytes) -> bytes:
    attributes = {part.strip().lower() for part in cookie.split(b";")[1:]}
    return cookie if b"secure" in attributes else cookie + b"; Secure"
