"""Lists of models as servers write them, and the one name that is replaced in a body."""

import json

import pytest

from batchyard.wire.models import read_model_list, with_model


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (b'{"object":"list","data":[{"id":"a"},{"id":"b","created":1.5,"owned_by":null}]}', "ab"),
        (b'{"data":[]}', ""),
        (b'{"object":"list","data":null}', ""),
        (b'\xef\xbb\xbf[{"id":"a"}]', "a"),
        (b"[]", ""),
        (b'{"data":[{"id":"a"},{"name":"b"},3]}', "a"),
        (b'{"data":[{"name":"b"}]}', None),
        (b'{"data":{}}', None),
        (b'{"error":{"message":"no"}}', None),
        (b"{}", None),
        (b"<html>", None),
        (b"", None),
        (b"[" * 100_000, None),
    ],
)
def test_a_list_is_read_however_it_is_written(body: bytes, ids: str | None) -> None:
    """An empty list is one; what is no list is none, and never taken for an empty one."""
    found = read_model_list(body, "us")
    assert (None if found is None else "".join(one.id for one in found.models)) == ids


def test_a_list_may_say_that_there_are_others() -> None:
    """The simulated upstream lists a few names and takes all."""
    found = read_model_list(b'{"data":[{"id":"a"}],"any_model":true}', "us")
    assert found is not None
    assert (found.any_model, found.models[0].owned_by) == (True, "us")


# The body before, and after; M stands for the new name.
BODIES = [
    (b'{"model":"a"}', b'{"model":"M"}'),
    (b'{"model":"a","x":1.0e400}', b'{"model":"M","x":1.0e400}'),
    (b' {\n\t"model" :\r "a" , "n":[1,2] } ', b' {\n\t"model" :\r "M" , "n":[1,2] } '),
    (b'{"x":{"model":"in"},"model":"a"}', b'{"x":{"model":"in"},"model":"M"}'),
    (b'{"x":["model",{"model":1}],"model":"a"}', b'{"x":["model",{"model":1}],"model":"M"}'),
    (b'{"model":"a","x":{"model":"in"}}', b'{"model":"M","x":{"model":"in"}}'),
    (b'{"model":"a","model":"b"}', b'{"model":"M","model":"M"}'),
    (b'{"model":"a","mod\\u0065l":"b"}', b'{"model":"M","mod\\u0065l":"M"}'),
    (b'{"\\u006dodel":"a"}', b'{"\\u006dodel":"M"}'),
    (b'{"x":"\\"model\\":\\"no\\"","model":"a"}', b'{"x":"\\"model\\":\\"no\\"","model":"M"}'),
    (b'{"x":"\\\\","model":"a\\"}","y":"}"}', b'{"x":"\\\\","model":"M","y":"}"}'),
    (b'{"x":"\\ud83d","model":"\\ud83d"}', b'{"x":"\\ud83d","model":"M"}'),
    (b'{"x":"{[","model":"a","y":"]}"}', b'{"x":"{[","model":"M","y":"]}"}'),
    (b'{"model":{"a":[1]},"x":1}', b'{"model":"M","x":1}'),
    (b'{"model":null}', b'{"model":"M"}'),
    ('{"é":"ü","model":"é"}'.encode(), '{"é":"ü","model":"M"}'.encode()),
    (b'{"Model":"a","models":"b","x":"model"}', b'{"Model":"a","models":"b","x":"model"}'),
    (b"{}", b"{}"),
]


@pytest.mark.parametrize(("before", "after"), BODIES)
def test_only_the_model_of_the_request_is_replaced(before: bytes, after: bytes) -> None:
    """Whatever else looks like it stays, byte for byte."""
    assert with_model(before, "M") == after


def test_a_name_is_written_as_json() -> None:
    """Names of models may have any character."""
    assert json.loads(with_model(b'{"model":"a"}', 'q"\\é\n')) == {"model": 'q"\\é\n'}


def test_large_bodies_with_many_strings_are_passed_over() -> None:
    """Pictures in a body are strings like any others."""
    body = b'{"x":["' + b"A" * 4_000_000 + b'","\\u0041"],"model":"a"}'
    assert with_model(body, "M") == body[:-2].removesuffix(b'"a') + b'"M"}'
