"""Which base URLs are taken, and what a request head says."""

import pytest

from batchyard import __version__
from batchyard.places.request_head import BaseUrl, head_for, usable_key


@pytest.mark.parametrize(
    ("text", "host", "port", "path", "authority"),
    [
        ("http://localhost:8000/v1", "localhost", 8000, "/v1", "localhost:8000"),
        ("https://api.openai.com/v1/", "api.openai.com", 443, "/v1", "api.openai.com"),
        ("HTTPS://Host/openai/v1", "host", 443, "/openai/v1", "host"),
        ("http://host", "host", 80, "", "host"),
        ("http://host:80/", "host", 80, "", "host"),
        ("http://host:443", "host", 443, "", "host:443"),
        ("http://[::1]:8000/v1", "::1", 8000, "/v1", "[::1]:8000"),
        ("http://[fe80::1%eth0]", "fe80::1%eth0", 80, "", "[fe80::1]"),
    ],
)
def test_base_url_is_taken_apart(
    text: str, host: str, port: int, path: str, authority: str
) -> None:
    """Host, port and path are what a person means by the URL."""
    url = BaseUrl.parse(text)
    assert (host, port, path, authority) == (url.host, url.port, url.path, url.authority)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "http://"),
        ("localhost:8000", "http://"),
        ("ftp://host/", "http://"),
        ("http:///v1", "name a host"),
        ("http://ho st/", "name a host"),
        ("http://höst/", "punycode"),
        ("http://host/v1?key=1", "no query"),
        ("http://host/v1#x", "no query"),
        ("http://host/v1?", "no query"),
        ("http://user:secret@host/", "user name"),
        ("ftp://user:secret@host/", "user name"),
        ("http://host:99999/", "cannot|out of range"),
        ("http://host:0/", "port"),
        ("http://host:secret/", "not a URL"),
        ("http://[::1/", "not a URL"),
        ("http://host/a b", "ASCII"),
        ("http://host/ä", "ASCII"),
    ],
)
def test_bad_base_url_is_refused(text: str, reason: str) -> None:
    """The reason is told, and a password in the URL is not."""
    with pytest.raises(ValueError, match=reason) as caught:
        BaseUrl.parse(text)
    assert "user:secret" not in str(caught.value)


def test_head_is_written_once_for_many_requests() -> None:
    """All but the length of the body is there, and the length comes last."""
    head = head_for(
        "https://host/openai/v1", "POST", "/chat/completions", {"Authorization": "Bearer k"}
    )
    assert (
        "POST /openai/v1/chat/completions HTTP/1.1\r\n"
        "host: host\r\n"
        f"user-agent: batchyard/{__version__}\r\n"
        "accept: application/json\r\n"
        "accept-encoding: identity\r\n"
        "connection: keep-alive\r\n"
        "content-type: application/json\r\n"
        "Authorization: Bearer k\r\n"
        "content-length: "
    ).encode() == head


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", "secret\n"),
        ("authorization", "secret\r\nx: y"),
        ("authorization", "secret\x00"),
        ("authorization", "secret\u2026"),
        ("bad name", "secret"),
        ("bad:name", "secret"),
        ("", "secret"),
        ("Content-Length", "secret"),
        ("transfer-encoding", "secret"),
        ("Host", "secret"),
    ],
)
def test_bad_header_is_refused(name: str, value: str) -> None:
    """Nothing can be smuggled into a head, and the reason does not show the value."""
    with pytest.raises(ValueError, match=r".+") as caught:
        head_for("http://host", "GET", "/models", {name: value})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("path", ["models", "", "/a b", "/a\r\nx: y", "/ä"])
def test_bad_path_is_refused(path: str) -> None:
    """A path begins with a slash and holds nothing that would end the request line."""
    with pytest.raises(ValueError, match="Path"):
        head_for("http://host", "GET", path, {})


def test_a_person_may_say_who_asks() -> None:
    """`User-Agent` and `Accept` of one's own take the place of ours, whatever their case."""
    head = head_for("http://host", "GET", "/models", {"User-Agent": "mine/1", "ACCEPT": "*/*"})
    lines = head.decode().lower().split("\r\n")
    assert [one for one in lines if one.startswith(("user-agent", "accept:"))] == [
        "user-agent: mine/1",
        "accept: */*",
    ]


@pytest.mark.parametrize(
    "text", ["sk-1", " sk-1\n", "\ufeffsk-1\r\n", "\n\ufeff sk-1\u200b", "\xa0sk-1\t"]
)
def test_what_editors_leave_around_a_key_is_left_out(text: str) -> None:
    """A key file that ends with a line feed, or begins with a byte order mark, has a key in it."""
    assert usable_key(text, "a file") == "sk-1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sk-se\ncret", "number 6 of 10 is a line feed"),
        ("sk\u2013secret", "number 3 of 9 is U+2013 (EN DASH)"),
        ("sk-secret\x00", "number 10 of 10 is U+0000"),
        ("sk-secr\xe9t", "number 8 of 9 is U+00E9"),
        ("\ud83dsecret", "number 1 of 7 is U+D83D"),
    ],
)
def test_a_key_that_no_header_can_carry_is_named_by_its_place(text: str, said: str) -> None:
    """Where it stands and which character it is, but nothing else of it."""
    with pytest.raises(ValueError, match="The key from the vault has") as caught:
        usable_key(text, "the vault")
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
