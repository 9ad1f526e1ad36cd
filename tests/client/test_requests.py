"""Requests carry all that they were given, in the places that each API has for it."""

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from batchyard.client.building import build
from batchyard.client.building.build import ParameterError, UnknownParameterWarning
from batchyard.rules.limits import STRICT
from batchyard.rules.lines import Sound, examine


class Verdict(BaseModel):
    """What a review says."""

    label: str
    score: float


def sent(request: build.Request) -> Any:
    """The body as a server reads it."""
    line = json.loads(build.encode(request))
    assert list(line) == ["custom_id", "method", "url", "body"]
    return line["body"]


@pytest.mark.parametrize(
    ("make", "needed", "url"),
    [
        (build.chat, {"model": "m1", "messages": "hi"}, "/v1/chat/completions"),
        (build.responses, {"model": "m1", "input": "hi"}, "/v1/responses"),
        (build.embeddings, {"model": "m1", "input": "hi"}, "/v1/embeddings"),
        (build.completions, {"model": "m1", "prompt": "hi"}, "/v1/completions"),
        (build.moderations, {"input": "hi"}, "/v1/moderations"),
        (build.images, {"prompt": "hi"}, "/v1/images/generations"),
        (build.image_edits, {"prompt": "hi"}, "/v1/images/edits"),
    ],
)
def test_every_endpoint_makes_lines_that_the_server_takes(
    make: Callable[..., build.Request], needed: dict[str, Any], url: str
) -> None:
    """A request of each endpoint passes the server's own examination."""
    request = make("r1", **needed)
    assert request.url == url
    assert isinstance(examine(build.encode(request), 1, STRICT), Sound)


def test_nothing_is_dropped() -> None:
    """Parameters that nobody here knows are sent as they are, and null stays null."""
    given: dict[str, Any] = {
        "max_tokens": 5,
        "seed": 7,
        "stop": ["."],
        "metadata": {"team": "crm"},
        "top_k": 40,
        "flux_capacitor": {"on": True},
        "user": None,
    }
    body = sent(build.chat("r1", model="m1", messages="hi", **given))
    assert body == {"model": "m1", "messages": [{"role": "user", "content": "hi"}], **given}


def test_what_looks_misspelt_is_told_and_sent() -> None:
    """A typo warns with what was meant, at the caller's line, and is sent all the same."""
    with pytest.warns(UnknownParameterWarning, match="did you mean 'temperature'") as told:
        body = sent(build.chat("r1", model="m1", messages="hi", temprature=0.5))  # type: ignore[call-arg]
    assert body["temprature"] == 0.5
    assert told[0].filename == __file__


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 99),
        ("temperature", "0.7"),
        ("temperature", True),
        ("top_p", -0.1),
        ("n", 0),
        ("max_completion_tokens", 1.5),
        ("stream", True),
        ("store", "yes"),
    ],
)
def test_values_that_no_model_takes_are_refused(name: str, value: object) -> None:
    """A wrong value raises, naming the parameter and the request; `extra_body` lets it through."""
    with pytest.raises(ParameterError, match=f"{name} must be .*custom_id 'r1'"):
        build.chat("r1", model="m1", messages="hi", **{name: value})  # type: ignore[arg-type]
    free = build.chat("r1", model="m1", messages="hi", extra_body={name: value})
    assert sent(free)[name] == value


def test_overrides_are_checked_as_any_other_parameter() -> None:
    """Parameters of one request alone are checked, and replace those of all."""
    base = build.chat("r1", model="m1", messages="hi", temperature=0.2)
    assert sent(build.overridden(base, {"temperature": 1.5}))["temperature"] == 1.5
    with pytest.raises(ParameterError, match="temperature must be"):
        build.overridden(base, {"temperature": 99})
    with pytest.warns(UnknownParameterWarning, match="max_completion_tokens"):
        build.overridden(base, {"max_completion_token": 9})


@pytest.mark.parametrize("custom_id", ["", "a\nb", "x" * 1_025, "\ud800", None, 1.5, True])
def test_custom_ids_follow_the_servers_rule(custom_id: Any) -> None:
    """What the server would refuse as a custom_id is refused where it is written."""
    with pytest.raises(ParameterError, match="custom_id"):
        build.chat(custom_id, model="m1", messages="hi")


def test_keys_that_are_numbers_become_custom_ids() -> None:
    """Whole numbers, as tables have them for keys, are taken as text."""
    assert build.chat(17, model="m1", messages="hi").custom_id == "17"


def test_structured_outputs_stand_where_each_api_wants_them() -> None:
    """Chat has them in `response_format.json_schema`, responses in `text.format`."""
    chat = sent(build.chat("r1", model="m1", messages="hi", response_format=Verdict))
    assert chat["response_format"]["type"] == "json_schema"
    named = chat["response_format"]["json_schema"]
    assert (named["name"], named["strict"]) == ("Verdict", True)
    answer = sent(
        build.responses(
            "r1", model="m1", input="hi", text_format=Verdict, text={"verbosity": "low"}
        )
    )
    assert answer["text"]["verbosity"] == "low"
    assert answer["text"]["format"] == {"type": "json_schema", **named}


def test_formats_that_are_written_already_stay_as_they_are() -> None:
    """A `response_format` in the API's own words is not touched."""
    written = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    for one in (written, {"type": "json_object"}, {"type": "text"}):
        body = sent(build.chat("r1", model="m1", messages="hi", response_format=one))
        assert body["response_format"] == one


def test_images_files_and_turns_are_rendered_for_each_api() -> None:
    """One way to write a conversation, two shapes on the wire; plain dicts pass as they are."""
    turns = [
        build.system("be brief"),
        build.user("what is it?", build.image(b"\x89PNG...", detail="low"), build.file(b"%PDF-1")),
        build.assistant(tool_calls=[{"id": "c1", "type": "function", "function": {"name": "f"}}]),
        build.tool_result("c1", "a cat"),
        {"role": "user", "content": [{"type": "text", "text": "sure?"}]},
    ]
    chat = sent(build.chat("r1", model="m1", messages=turns))["messages"]
    assert chat[1]["content"] == [
        {"type": "text", "text": "what is it?"},
        {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64,iVBORy4uLg==", "detail": "low"},
        },
        {
            "type": "file",
            "file": {
                "filename": "document.pdf",
                "file_data": "data:application/pdf;base64,JVBERi0x",
            },
        },
    ]
    assert chat[2]["content"] is None
    assert chat[2]["tool_calls"][0]["id"] == "c1"
    assert chat[4] == turns[4]
    parts = sent(build.responses("r1", model="m1", input=turns[:2]))["input"][1]["content"]
    assert [part["type"] for part in parts] == ["input_text", "input_image", "input_file"]
    assert parts[1]["image_url"] == "data:image/png;base64,iVBORy4uLg=="


def test_tools_are_rendered_for_each_api() -> None:
    """A tool from a type is nested for chat and flat for responses."""
    tool = build.tool("judge", Verdict, description="Judge it.")
    chat = sent(build.chat("r1", model="m1", messages="hi", tools=[tool]))["tools"][0]
    flat = sent(build.responses("r1", model="m1", input="hi", tools=[tool]))["tools"][0]
    assert flat == {"type": "function", **chat["function"]}
    assert chat["function"]["parameters"]["additionalProperties"] is False


def test_token_arrays_are_inputs_of_embeddings() -> None:
    """Embeddings take a text, texts, tokens, and many texts as tokens."""
    for given in ("a", ["a", "b"], [1, 2, 3], [[1, 2], [3]]):
        assert sent(build.embeddings("e1", model="m1", input=given))["input"] == given


def test_what_the_sdk_calls_not_given_is_left_out() -> None:
    """Arguments that go through to the SDK go through to requests too."""
    made = build.chat(
        "a",
        model="m1",
        messages="hi",
        temperature=openai.NOT_GIVEN,  # type: ignore[arg-type]
        response_format=openai.omit,
        tools=openai.omit,  # type: ignore[arg-type]
    )
    assert sorted(made.body) == ["messages", "model"]
    response = build.responses("a", model="m1", input="hi", text_format=openai.omit)
    assert sorted(response.body) == ["input", "model"]
