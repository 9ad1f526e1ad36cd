"""When a server is ready, and what it says when it is not."""

from typing import Any

import pytest

from batchyard.rules.readiness import readiness

FINE: dict[str, Any] = {
    "storage_fault": None,
    "disk_fault": None,
    "workers": 1,
    "upstreams": [("gpu", None), ("spare", None)],
}


@pytest.mark.parametrize(
    ("changed", "is_ready", "failing"),
    [
        ({}, True, []),
        ({"upstreams": [("gpu", "refused"), ("spare", None)]}, True, ["gpu"]),
        ({"upstreams": [("gpu", "refused"), ("spare", "401")]}, False, ["gpu", "spare"]),
        ({"upstreams": []}, False, []),
        ({"storage_fault": "locked"}, False, ["storage"]),
        ({"disk_fault": "12 MB are free"}, False, ["disk"]),
        ({"workers": 0}, False, ["workers"]),
    ],
)
def test_a_server_is_ready_when_lines_can_run(
    changed: dict[str, Any], is_ready: bool, failing: list[str]
) -> None:
    """Each check has its own reason; the whole is ready where one upstream serves."""
    found = readiness(**FINE | changed)
    assert found.ready is is_ready
    checks = {
        "storage": found.storage,
        "disk": found.disk,
        "workers": found.workers,
        **found.upstreams,
    }
    assert [name for name, check in checks.items() if check.status == "failing"] == failing
    assert all(check.reason for name, check in checks.items() if name in failing)
