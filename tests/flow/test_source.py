"""A span is held against the shard it was read for."""

import pytest

from batchyard.flow.shards import HeldShard
from batchyard.flow.source import sound_lines

LINE = b'{"custom_id":"c%d","method":"POST","url":"/v1/embeddings","body":{"model":"m"}}\n'


@pytest.mark.parametrize(("there", "sound"), [(2, False), (3, True), (4, False)])
def test_a_span_with_more_or_fewer_lines_is_not_the_one_that_was_validated(
    there: int, sound: bool
) -> None:
    """None is what it gives, so that its shard ends with an error; nothing is raised."""
    shard = HeldShard(3, 0, 3, first_index=0, line_id_prefix="batch_req_")
    lines = sound_lines(shard, b"".join(LINE % n for n in range(there)), 1e6)
    assert (lines is not None) == sound
