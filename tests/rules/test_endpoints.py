"""The endpoints: each can be asked for by a line, and nothing else can."""

import json

import pytest

from batchyard.rules.endpoints import ENDPOINTS, EVERYWHERE, SUPPORTED, Endpoint
from batchyard.rules.limits import LOCAL, RELAXED, STRICT
from batchyard.rules.lines import Sound, examine
from batchyard.rules.validate import Scan, fits

VALUES = {
    "model": "m",
    "messages": [],
    "input": "x",
    "prompt": "x",
    "query": "q",
    "documents": ["d"],
}


def line_for(endpoint: Endpoint, *, without: str = "") -> bytes:
    """A request line with just what an endpoint requires."""
    body = {name: VALUES[name] for name in endpoint.required if name != without}
    return json.dumps(
        {"custom_id": "a", "method": "POST", "url": endpoint.url, "body": body}
    ).encode()


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)
def test_an_endpoint_takes_what_it_requires(endpoint: Endpoint) -> None:
    """The required fields suffice, for the quick look and for the exact one."""
    line = line_for(endpoint)
    found = examine(line, 1, RELAXED)
    assert isinstance(found, Sound)
    assert found.url == endpoint.url
    scan = Scan(RELAXED)
    scan.feed(line)
    assert scan.finish().urls == {endpoint.url: 1}


@pytest.mark.parametrize(
    ("endpoint", "name"), [(one, name) for one in ENDPOINTS.values() for name in one.required]
)
def test_an_endpoint_misses_what_it_requires(endpoint: Endpoint, name: str) -> None:
    """A line that lacks a required field of its body is told which."""
    scan = Scan(RELAXED)
    scan.feed(line_for(endpoint, without=name))
    (error,) = scan.finish().errors
    assert error.code == "missing_required_parameter"
    assert error.param == f"body.{name}"
    assert error.message == f"Missing required parameter: '{name}'."


@pytest.mark.parametrize("url", EVERYWHERE)
def test_what_openai_has_not_needs_servers_of_ones_own(url: str) -> None:
    """Relaxed and local take scores, ranks and the like; the strict profile says what it takes."""
    line = line_for(ENDPOINTS[url])
    for limits in (RELAXED, LOCAL, STRICT):
        scan = Scan(limits)
        scan.feed(line)
        digest = scan.finish()
        taken = limits is not STRICT or url in SUPPORTED
        assert [one.code for one in digest.errors] == ([] if taken else ["invalid_url"])
        assert all("/v1/score," not in one.message for one in digest.errors)


def test_the_digest_of_another_profile_is_no_proof() -> None:
    """A file that came while the profile was relaxed is looked at again in the strict one."""
    scan = Scan(RELAXED)
    scan.feed(line_for(ENDPOINTS["/v1/score"]))
    digest = scan.finish()
    for limits, proven in ((RELAXED, True), (STRICT, False)):
        assert proven == fits(
            digest, endpoint="/v1/score", limits=limits, known_model=lambda _model: True
        )


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)
def test_a_path_follows_a_base_url(endpoint: Endpoint) -> None:
    """An upstream's base URL ends in its version, so the path begins behind that."""
    assert endpoint.url == "/v1" + endpoint.path
