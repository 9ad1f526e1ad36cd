"""When a server is ready, and what it says when it is not."""

import pytest

from batchyard.rules.readiness import Trouble, UpstreamState, readiness

FINE, DOWN = UpstreamState("ok"), UpstreamState("unreachable", "connection refused")
REFUSED = UpstreamState("key_refused", "HTTP 401")
FULL = Trouble("disk_low", "12 MB are free.", 5)


@pytest.mark.parametrize(
    ("troubles", "workers", "upstreams", "codes"),
    [
        ([], 1, {"gpu": FINE, "spare": FINE}, []),
        ([], 1, {"gpu": DOWN, "spare": FINE}, []),
        ([], 1, {"gpu": DOWN, "spare": REFUSED}, ["no_upstream"]),
        ([FULL], 1, {"gpu": FINE}, ["disk_low"]),
        ([], 0, {"gpu": FINE}, ["no_worker"]),
        ([FULL], 0, {"gpu": DOWN}, ["disk_low", "no_worker", "no_upstream"]),
    ],
)
def test_a_server_is_ready_when_lines_can_run(
    troubles: list[Trouble],
    workers: int,
    upstreams: dict[str, UpstreamState],
    codes: list[str],
) -> None:
    """Each thing that is missing has its reason; one upstream that serves is enough."""
    found = readiness(troubles, workers, upstreams)
    assert [reason.code for reason in found.reasons] == codes
    assert found.status == ("unavailable" if codes else "ok")


def test_upstreams_are_told_with_what_they_said() -> None:
    """Whoever is on call sees at once which of them is to blame, and why."""
    (reason,) = readiness([], 1, {"gpu": DOWN, "spare": REFUSED}).reasons
    assert "gpu: unreachable (connection refused); spare: key_refused (HTTP 401)" in reason.message
