"""The model of a request body is replaced, and nothing else."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.wire.models import with_model

NAMES = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.just("model"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.just("model"), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"a","n":1}', b'{"model":"new","n":1}'),
        (b' { "model" : "a" , "n":1}', b' { "model" : "new" , "n":1}'),
        (b'{"n":{"model":"inner"},"model":"a"}', b'{"n":{"model":"inner"},"model":"new"}'),
        (b'{"model":"a","tool":{"model":"b"}}', b'{"model":"new","tool":{"model":"b"}}'),
        (b'{"model":"a","model":"b"}', b'{"model":"new","model":"new"}'),
        (b'{"m\\u006fdel":"a"}', b'{"m\\u006fdel":"new"}'),
        (b'{"model":"a","m\\u006fdel":"b"}', b'{"model":"new","m\\u006fdel":"new"}'),
        (
            b'{"x":"\\"model\\":\\"a\\"","model":"a\\u0062"}',
            b'{"x":"\\"model\\":\\"a\\"","model":"new"}',
        ),
        (
            b'{"list":["model","a",{"model":1}],"model":"a"}',
            b'{"list":["model","a",{"model":1}],"model":"new"}',
        ),
        (b'{"x":"model","model":"a"}', b'{"x":"model","model":"new"}'),
        (b'{"model":"\\ud800","e":"\xc3\xa9"}', b'{"model":"new","e":"\xc3\xa9"}'),
        (b'{"n":1}', b'{"n":1}'),
        (b"{}", b"{}"),
    ],
)
def test_only_the_outermost_model_changes(body: bytes, expected: bytes) -> None:
    """However it is written, and whatever else is called so."""
    assert with_model(body, "new") == expected


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, VALUES), st.text(max_size=6), st.text(max_size=6), st.booleans())
def test_any_object_keeps_all_else(
    rest: dict[str, object], old: str, new: str, is_ascii: bool
) -> None:
    """Read again, the body is the same but for its model."""
    body = json.dumps({"first": rest, **rest, "model": old}, ensure_ascii=is_ascii).encode(
        "utf-8", "surrogatepass"
    )
    changed = json.loads(with_model(body, new).decode("utf-8", "surrogatepass"))
    assert changed == json.loads(body.decode("utf-8", "surrogatepass")) | {"model": new}
