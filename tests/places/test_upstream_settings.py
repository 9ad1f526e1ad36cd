"""What keeps an upstream from being opened is told at the start, for all of them at once."""

from pathlib import Path

import pytest

from batchyard.places.upstream_settings import UpstreamSettings
from batchyard.places.upstreams import open_upstreams

URL = "http://127.0.0.1:9/v1"


def test_all_that_cannot_be_opened_are_told(tmp_path: Path) -> None:
    """Each by its name, with its setting and the reason; never with a key."""
    (tmp_path / "empty").touch()
    (tmp_path / "two lines").write_text("sk-secret\nsk-secret")
    wrong = [
        ({"api_key_env": "NONE"}, "api_key_env NONE: there is no such variable."),
        ({"api_key_env": "BLANK"}, "api_key_env BLANK is empty."),
        ({"api_key_env": "DASH"}, "The key from api_key_env DASH has a character that a key"),
        ({"api_key_file": "none"}, "api_key_file none cannot be read: No such file"),
        ({"api_key_file": str(tmp_path)}, "cannot be read: Is a directory"),
        ({"api_key_file": str(tmp_path / "empty")}, "empty is empty."),
        ({"api_key_file": str(tmp_path / "two lines")}, "is a line feed"),
        ({"headers": {"Host": "h"}}, "Header 'Host' is written by Batchyard itself."),
        ({"ca_file": "none.pem"}, "ca_file none.pem cannot be used: No such file"),
        ({"ca_file": __file__}, "it holds no certificate"),
    ]
    settings = [
        UpstreamSettings(url=f"{URL}/{number}", name=f"u{number}", **given)  # type: ignore[arg-type]
        for number, (given, _) in enumerate(wrong)
    ]
    environment = {"BLANK": " \n", "DASH": "sk\u2013secret"}
    with pytest.raises(ValueError, match=r".+") as caught:
        open_upstreams(settings, environment)
    told = str(caught.value).splitlines()
    assert len(told) == len(wrong)
    for number, ((_, said), line) in enumerate(zip(wrong, told, strict=True)):
        assert line.startswith(f"upstream u{number}: ")
        assert said in line
        assert "secret" not in line


@pytest.mark.parametrize("name", ["", "mine"])
def test_a_password_in_a_url_is_not_shown(name: str) -> None:
    """Neither by the reason nor by the name of the upstream, which else is its URL."""
    wrong = UpstreamSettings(url="http://me:secret@host/v1", name=name)
    with pytest.raises(ValueError, match="no user name or password") as caught:
        open_upstreams([wrong, wrong], {})
    assert "secret" not in str(caught.value)
    assert str(caught.value).startswith("upstream mine: " if name else "upstream: ")


def test_a_key_is_sent_without_what_is_around_it(tmp_path: Path) -> None:
    """A line feed at the end of a file is none of the key."""
    (tmp_path / "key").write_text("\ufeffsk-1\r\n", encoding="utf-8")
    (one,) = open_upstreams([UpstreamSettings(url=URL, api_key_file=str(tmp_path / "key"))], {})
    assert b"authorization: Bearer sk-1\r\n" in one.head("/models", "GET")
