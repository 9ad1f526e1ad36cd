"""Pages of other origins in a browser: asked before a key, and only where the settings say so."""

from collections.abc import Iterator, Mapping

import pytest

from batchyard.server.origins import Origins
from tests.server.door import Answer, Caller, Door

NAMED, OTHER = "https://tools.example.com", "https://evil.example.com"
ASKED = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type,x-stainless-os",
}


@pytest.fixture(scope="module", params=[(), (NAMED, "http://localhost:3000"), ("*",)], ids=str)
def allowed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Door, tuple[str, ...]]]:
    """A door with each kind of setting."""
    door = Door(tmp_path_factory.mktemp("origins"), cors_origins=request.param)
    yield door, request.param
    door.close()


def cors_of(answer: Answer) -> Mapping[str, str]:
    """What an answer says to browsers."""
    return {
        name: value for name, value in answer.headers.items() if name.startswith("access-control")
    }


@pytest.mark.parametrize("origin", [NAMED, OTHER, "null", NAMED + ".evil.com"])
def test_a_preflight_is_answered_before_a_key_is_asked_for(
    allowed: tuple[Door, tuple[str, ...]], origin: str
) -> None:
    """The browser learns what the page may send, or that it may not."""
    door, origins = allowed
    nobody = Caller(door, "", "")
    nobody.auth = {}
    answer = nobody.ask("OPTIONS", "/v1/files", None, {"origin": origin, **ASKED})
    if origin not in origins and "*" not in origins:
        assert answer.error == (403, None, None)
        assert "cors_origins" in answer.json["error"]["message"]
        assert not cors_of(answer)
        return
    told = cors_of(answer)
    assert (answer.status, answer.body) == (204, b"")
    assert told["access-control-allow-origin"] == ("*" if "*" in origins else origin)
    assert told["access-control-allow-headers"] == ASKED["access-control-request-headers"]
    assert "DELETE" in told["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in told


@pytest.mark.parametrize("origin", [NAMED, NAMED.upper(), OTHER, "null", None])
@pytest.mark.parametrize("path", ["/v1/files", "/v1/nothing", "/healthz", "/openapi.json"])
@pytest.mark.parametrize("known", [True, False], ids=["key", "no key"])
def test_every_answer_says_who_may_read_it(
    allowed: tuple[Door, tuple[str, ...]], origin: str | None, path: str, *, known: bool
) -> None:
    """Errors too, or the page would not learn what is wrong; and no cookie is ever asked for."""
    door, origins = allowed
    asker = door.caller() if known else Caller(door, "by_wrong", "")
    answer = asker.ask("GET", path, None, {} if origin is None else {"origin": origin})
    told = cors_of(answer)
    if "*" in origins:
        assert told["access-control-allow-origin"] == "*"
    elif origins and (origin or "").lower() == NAMED:
        assert told["access-control-allow-origin"] == origin
        assert "x-request-id" in told["access-control-expose-headers"]
    else:
        assert not told
    assert ("Origin" in answer.headers.get("vary", "")) == bool(origins and "*" not in origins)
    assert "access-control-allow-credentials" not in told


@pytest.mark.parametrize("names", ["", "a b", "a,", "authorization;", "b" * 3_000])
def test_odd_names_of_headers_are_not_given_back(names: str) -> None:
    """Only what can be the name of a header is granted."""
    asked = {"access-control-request-headers": names}
    assert "access-control-allow-headers" not in Origins(["*"]).preflight("null", asked)
    assert "access-control-allow-headers" in Origins(["*"]).preflight("null", ASKED)


def test_options_without_an_origin_is_a_request_like_others(
    allowed: tuple[Door, tuple[str, ...]],
) -> None:
    """It needs a key."""
    door, _ = allowed
    nobody = Caller(door, "", "")
    nobody.auth = {}
    assert nobody.ask("OPTIONS", "/v1/files").status == 401
    assert nobody.ask("OPTIONS", "/v1/files", None, {"origin": NAMED}).status == 401
    assert nobody.ask("OPTIONS", "/v1/files", None, ASKED).status == 401
