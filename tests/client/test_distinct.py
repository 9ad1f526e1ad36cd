"""Requests that were seen before."""

from pathlib import Path

from batchyard.client.tabular.distinct import Distinct


def test_what_memory_does_not_hold_is_found(tmp_path: Path) -> None:
    """Each key has the number it was given, however many came after it; no file is left."""
    keys = [number.to_bytes(16, "big") for number in range(20)]
    with Distinct(tmp_path, in_memory=3) as known:
        for unit, key in enumerate(keys):
            assert known.unit_of(key) is None
            known.add(key, unit)
            assert [known.unit_of(one) for one in keys[: unit + 1]] == list(range(unit + 1))
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []
