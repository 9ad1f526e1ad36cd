"""A sample that is asked in real time."""

import json

from batchyard.client.campaigns.settings import Settings
from batchyard.client.tabular.canary import chosen, sing, told
from tests.acceptance.processes import request_lines
from tests.client.conftest import Strict


def test_a_sample_is_taken_from_everywhere() -> None:
    """Not from the beginning alone."""
    assert chosen(10, 3) == (0, 3, 6)
    assert chosen(2, 5) == (0, 1)
    assert chosen(5, 0) == ()


async def test_a_server_is_asked_in_real_time_where_it_can(strict: Strict) -> None:
    """Here the upstream itself, which knows no batches; what fails says why."""
    strict.sim.set("faults", "400:0.3")
    lines = dict(enumerate(request_lines(10).splitlines()))
    tried = await sing(lines, Settings(base_url=strict.sim.url), None)
    failed = [one for one in tried.values() if one.body is None]
    assert 0 < len(failed) < 10
    assert all(one.error for one in failed)
    answered = next(one for one in tried.values() if one.body is not None)
    assert json.loads(answered.body or b"")["choices"]
    assert told(tried).count("failed: ") == len(failed)
