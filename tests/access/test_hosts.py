"""Only names that the server was started for are answered, however they are spelt."""

from __future__ import annotations

import pytest

from app.shell.hosts import ServedNames, only_this_machine

LOOPBACK = ServedNames.of("127.0.0.1")
PUBLIC = ServedNames.of("0.0.0.0", ["https://brainlm.example.org"])


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:8501", "localhost.", "localhost.:80", "127.0.0.1:1", "[::1]", "[::1]:8501"],
)
def test_names_of_the_loopback_interface_are_answered(host: str) -> None:
    assert LOOPBACK.answers(host) and PUBLIC.answers(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "evil.example",
        "localhost.evil.example",
        "evil.example:8501",
        "evil.example#localhost",
        "evil.example/localhost",
        "localhost@evil.example",
        "evil.example@localhost",
        "localhost:8501@evil.example",
        "localhost:99999",
        "localhost:8501x",
        "localhost:",
        "localhost..",
        "localhost evil",
        "localhost,evil.example",
        "localhost\tx",
        "127.0.0.1.nip.io",
        "127.1",
        "0.0.0.0",
        "2130706433",
        "0x7f.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::1%eth0]",
        "[::1",
        "::1",
        "[localhost]",
        "localhost%00.evil.example",
        "ⅼocalhost",
        "localhoſt",
        "127。0。0。1",
        "brainlm.example.org",
        "a" * 300,
    ],
)
def test_everything_else_is_refused(host: str) -> None:
    assert not LOOPBACK.answers(host, "127.0.0.1")


def test_public_and_given_names_are_answered_and_their_neighbours_are_not() -> None:
    assert PUBLIC.answers("BrainLM.example.org.:443") and PUBLIC.answers("brainlm.example.org")
    assert not PUBLIC.answers("example.org") and not PUBLIC.answers("x.brainlm.example.org")
    assert PUBLIC.answers("192.0.2.7:8501", "192.0.2.7") and PUBLIC.answers("[2001:db8::7]", "2001:DB8::7")
    assert not PUBLIC.answers("192.0.2.8", "192.0.2.7"), "only the address that the request came to"
    assert not LOOPBACK.answers("192.0.2.7", "192.0.2.7")
    given = ServedNames.of("gpu-box.lan")
    assert given.answers("GPU-box.lan:8501") and not given.answers("192.0.2.7", "192.0.2.7")
    assert ServedNames.of("::").any_own_address and ServedNames.of("").any_own_address


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://localhost:8501", "localhost:8501", True),
        ("http://LOCALHOST.:8501", "localhost:8501", True),
        ("https://brainlm.example.org", "brainlm.example.org:443", True),
        ("http://localhost:3000", "localhost:8501", False),
        ("http://127.0.0.1:8501", "localhost:8501", False),
        ("http://evil.example:8501", "localhost:8501", False),
        ("null", "localhost:8501", False),
        ("", "localhost:8501", False),
        ("file://", "localhost:8501", False),
        ("http://localhost:8501/x", "localhost:8501", False),
        ("http://localhost:8501@evil.example", "localhost:8501", False),
        ("chrome-extension://localhost:8501", "localhost:8501", False),
        ("http://[::1]:8501", "[::1]:8501", True),
        ("http://[::1", "[::1]:8501", False),
    ],
)
def test_only_pages_of_the_dashboard_itself_count_as_its_own(origin: str, host: str, same: bool) -> None:
    assert LOOPBACK.same_site(origin, host) is same


@pytest.mark.parametrize(
    ("address", "alone"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("", False),
        ("0.0.0.0", False),
        ("0", False),
        ("::", False),
        ("::ffff:0.0.0.0", False),
        ("192.0.2.7", False),
        ("no-such-name.invalid", False),
    ],
)
def test_what_lets_other_machines_in(address: str, alone: bool) -> None:
    assert only_this_machine(address) is alone
