"""What the running server lets in over HTTP, without a browser."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.browser_tools import ROOT, App, start_streamlit


@pytest.fixture(scope="module")
def server() -> Iterator[App]:
    with start_streamlit(ROOT / "app" / "main.py") as app:
        yield app


def status(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> int:
    request = urllib.request.Request(
        url, body, {k.replace("_", "-"): v for k, v in headers.items()}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)


def test_upload_without_the_pages_own_token_is_refused(server: App) -> None:
    url = f"{server.url}/_stcore/upload_file/no-session/no-file"
    assert status(url, "PUT", b"x", Content_Type="application/octet-stream") == 403
    assert status(url, "PUT", b"x", Cookie="_streamlit_xsrf=a", X_Xsrftoken="b") == 403


@pytest.mark.parametrize(
    "path",
    [
        "/app/static/../main.py",
        "/app/static/%2e%2e/main.py",
        "/app/static/..%2f..%2frequirements.txt",
        "/app/static/%252e%252e/main.py",
        "/app/static/..%5c..%5crequirements.txt",
        "/app/static/..%00/main.py",
        "/app/static/%2fetc%2fpasswd",
        "/app/static//etc/passwd",
        "/app/static/%c0%ae%c0%ae/main.py",
        "/app/static/%ef%bc%8e%ef%bc%8e/main.py",
        "/media/../../etc/passwd",
        "/media/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/_stcore/upload_file/..%2f..%2fx/y",
        "/_stcore/bidi-components/brainlm-explorer.brain_view/..%2f..%2fweights.py",
    ],
)
def test_no_file_outside_the_served_folders_comes_out(server: App, path: str) -> None:
    request = urllib.request.Request(server.url + path)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            content = answer.read()
    except urllib.error.HTTPError:
        return
    assert content.lstrip().startswith(b"<!doctype html>") or content.lstrip().startswith(b"<!--"), content[
        :80
    ]
    assert b"import streamlit" not in content and b"root:" not in content


def test_a_websocket_from_another_site_is_refused(server: App) -> None:
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    address = f"{server.url.replace('http', 'ws', 1)}/_stcore/stream"
    with connect(address, origin=server.url, subprotocols=["streamlit"]):
        pass  # the page's own is let in
    with pytest.raises(InvalidStatus) as refused, connect(address, origin="https://evil.example"):
        pass
    assert refused.value.response.status_code == 403
