"""Answers are complete, fit what was asked, and say that they are simulated."""

import base64
import json
import math
import struct
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.images_response import ImagesResponse
from openai.types.video import Video
from pydantic import BaseModel

from batchyard.sim import Running, SimOptions
from tests.sim.asking import CHAT, ask, ask_chat, get, post
from tests.sim.conftest import Starting

MESSAGES: list[Any] = [{"role": "user", "content": "What is a batch?"}]


@pytest.fixture
async def running(starting: Starting) -> Running:
    """A simulated upstream as it comes."""
    return await starting(SimOptions())


@pytest.fixture
async def client(running: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official client, which refuses bodies that are not complete."""
    async with openai.AsyncOpenAI(
        base_url=running.base_url, api_key="any", _strict_response_validation=True, max_retries=0
    ) as client:
        yield client


async def test_chat_fits_the_sdk(client: openai.AsyncOpenAI) -> None:
    """A chat completion is complete, and its usage is a quarter of its bytes."""
    answer = await client.chat.completions.create(model="any", messages=MESSAGES, n=3)
    assert answer.usage is not None
    texts = [choice.message.content or "" for choice in answer.choices]
    assert answer.usage.prompt_tokens == math.ceil(len("What is a batch?") / 4)
    assert answer.usage.completion_tokens == sum(math.ceil(len(text) / 4) for text in texts)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert len(set(texts)) == 3
    assert all(text.startswith("Simulated answer") for text in texts)
    assert answer.system_fingerprint == "simulated"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_chat_ends_at_its_limit(client: openai.AsyncOpenAI, name: str) -> None:
    """No more tokens are written than asked for, and the reason says so."""
    limit: dict[str, Any] = {name: 7}
    answer = await client.chat.completions.create(model="any", messages=MESSAGES, **limit)
    assert answer.usage is not None
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 7
    assert len(answer.choices[0].message.content or "") == 28


async def test_chat_calls_the_tool_it_must(client: openai.AsyncOpenAI) -> None:
    """A required tool is called with arguments of its schema."""
    properties = {"n": {"type": "integer"}}
    schema: dict[str, object] = {"properties": properties, "required": ["n"]}
    answer = await client.chat.completions.create(
        model="any",
        messages=MESSAGES,
        tools=[{"type": "function", "function": {"name": "count", "parameters": schema}}],
        tool_choice="required",
    )
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert calls[0].function.name == "count"
    assert isinstance(json.loads(calls[0].function.arguments)["n"], int)
    assert answer.choices[0].finish_reason == "tool_calls"


class Place(BaseModel):
    """What structured outputs are asked for."""

    name: str
    people: int
    near: list[str]


async def test_structured_outputs_satisfy_their_schema(client: openai.AsyncOpenAI) -> None:
    """Chat completions and responses parse into the model that the client gives."""
    chat = await client.chat.completions.parse(
        model="any", messages=MESSAGES, response_format=Place
    )
    response = await client.responses.parse(model="any", input="A town?", text_format=Place)
    assert isinstance(chat.choices[0].message.parsed, Place)
    assert isinstance(response.output_parsed, Place)


async def test_a_json_object_is_json(running: Running) -> None:
    """Without a schema the answer is some JSON object."""
    seen = await ask_chat(running, response_format={"type": "json_object"})
    assert json.loads(seen.json()["choices"][0]["message"]["content"])["simulated"] is True


async def test_responses_fit_the_sdk(client: openai.AsyncOpenAI) -> None:
    """A response is complete, echoes what it was given, and ends at its limit."""
    answer = await client.responses.create(
        model="any",
        input=[{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}],
        instructions="Be brief.",
        metadata={"a": "b"},
    )
    assert answer.usage is not None
    assert answer.status == "completed"
    assert answer.metadata == {"a": "b"}
    assert answer.usage.input_tokens == 2 + 3
    assert answer.usage.output_tokens == math.ceil(len(answer.output_text) / 4)
    short = await client.responses.create(model="any", input="hello", max_output_tokens=4)
    assert short.status == "incomplete"
    assert short.incomplete_details is not None
    assert short.incomplete_details.reason == "max_output_tokens"
    assert len(short.output_text) == 16


async def test_embeddings_have_length_one(client: openai.AsyncOpenAI) -> None:
    """Vectors have the asked dimensions, and the same text has the same vector."""
    answer = await client.embeddings.create(
        model="any", input=["a", "b", "a"], dimensions=12, encoding_format="float"
    )
    first, second, third = (one.embedding for one in answer.data)
    assert len(first) == 12
    assert first == third != second
    assert math.hypot(*first) == pytest.approx(1, abs=1e-6)
    tokens = await client.embeddings.create(model="any", input=[1, 2, 3], encoding_format="float")
    assert (len(tokens.data), tokens.usage.prompt_tokens) == (1, 3)


async def test_embeddings_come_as_base64(running: Running) -> None:
    """In base64 a vector is the same as in floats."""
    body = {"model": "any", "input": "a", "dimensions": 5}
    floats, coded = await ask(
        running,
        post("/v1/embeddings", body),
        post("/v1/embeddings", {**body, "encoding_format": "base64"}),
    )
    raw = base64.b64decode(coded.json()["data"][0]["embedding"])
    assert list(struct.unpack("<5f", raw)) == floats.json()["data"][0]["embedding"]


async def test_other_texts_fit_the_sdk(client: openai.AsyncOpenAI) -> None:
    """Completions answer every prompt, moderations judge every text."""
    completions = await client.completions.create(model="any", prompt=["a", "b"], n=2)
    moderations = await client.moderations.create(input=["a", "b"])
    assert [choice.index for choice in completions.choices] == [0, 1, 2, 3]
    assert {choice.finish_reason for choice in completions.choices} == {"length"}
    assert len(moderations.results) == 2


async def test_images_fit_the_sdk(client: openai.AsyncOpenAI) -> None:
    """Images are PNG, from a JSON body or from a form."""
    made = await client.images.generate(model="any", prompt="a boat", n=2)
    edited = await client.images.edit(model="any", prompt="a ship", image=b"not looked at", n=1)
    for answer, count in ((made, 2), (edited, 1)):
        assert isinstance(answer, ImagesResponse)
        assert answer.data is not None
        assert len(answer.data) == count
        assert base64.b64decode(answer.data[0].b64_json or "").startswith(b"\x89PNG")


async def test_videos_fit_the_sdk(running: Running) -> None:
    """A video is complete at once."""
    (seen,) = await ask(running, post("/v1/videos", {"prompt": "waves"}))
    assert Video.model_validate_json(seen.body, strict=True).status == "completed"


async def test_models_are_listed(client: openai.AsyncOpenAI) -> None:
    """Some models are listed though any is taken."""
    models = [model async for model in client.models.list()]
    assert {model.owned_by for model in models} == {"simulated"}
    assert (await client.models.retrieve("someone/any")).id == "someone/any"


async def test_only_named_models_are_there(starting: Starting) -> None:
    """With a list of models, another one is not found."""
    running = await starting(SimOptions(models=("a", "b")))
    listed, refused, unknown = await ask(
        running, get("/v1/models"), post("/v1/chat/completions", CHAT), get("/v1/models/c")
    )
    assert [model["id"] for model in listed.json()["data"]] == ["a", "b"]
    assert (refused.status, unknown.status) == (404, 404)
    assert refused.json()["error"]["code"] == "model_not_found"


async def test_the_same_request_has_the_same_answer(starting: Starting) -> None:
    """The seed and the body decide every byte; another seed or body has another answer."""
    first, again = await starting(SimOptions(seed=1)), await starting(SimOptions(seed=1))
    other = await starting(SimOptions(seed=2))
    answer = await ask_chat(first)
    assert answer == await ask_chat(again)
    assert answer.body != (await ask_chat(other)).body
    assert answer.body != (await ask_chat(first, user="x")).body


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ("{", None),
        ("", None),
        ('{"model": NaN}', None),
        ("[1]", "body"),
        ({"messages": []}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": 1, "messages": [1]}, "model"),
        ({"model": "m", "messages": []}, "messages"),
        ({**CHAT, "n": 0}, "n"),
        ({**CHAT, "n": 10**9}, "n"),
        ({**CHAT, "max_tokens": "many"}, "max_tokens"),
        ({**CHAT, "max_tokens": True}, "max_tokens"),
        ({**CHAT, "stream": True}, "stream"),
        (
            {**CHAT, "response_format": {"type": "json_schema"}},
            "response_format.json_schema.schema",
        ),
        ({**CHAT, "tool_choice": "required", "tools": []}, "tool_choice"),
        ("[" * 100_000, None),
    ],
)
async def test_bad_bodies_are_refused(running: Running, body: Any, param: str | None) -> None:
    """A body that cannot be answered gets a 400 in OpenAI's envelope."""
    (seen,) = await ask(running, post("/v1/chat/completions", body))
    assert seen.status == 400
    assert set(seen.json()["error"]) == {"message", "type", "param", "code"}
    assert seen.json()["error"]["param"] == param


@pytest.mark.parametrize("given", [[], {}, 5, [1, "a"], [None]])
async def test_bad_inputs_are_not_embedded(running: Running, given: Any) -> None:
    """What is neither text nor tokens is refused."""
    (seen,) = await ask(running, post("/v1/embeddings", {"model": "m", "input": given}))
    assert seen.status == 400


async def test_half_characters_are_taken(running: Running) -> None:
    """A lone surrogate in escapes is JSON, and is echoed as such."""
    body = '{"model":"m","input":"\\ud800","instructions":"\\udfff"}'
    (seen,) = await ask(running, post("/v1/responses", body))
    assert seen.status == 200
    assert seen.json()["instructions"] == "\udfff"


async def test_everything_says_it_is_simulated(running: Running) -> None:
    """The server header is on every answer, refusals too."""
    for seen in await ask(
        running, get("/health"), get("/nowhere"), post("/v1/chat/completions", CHAT)
    ):
        assert seen.header("server") == "batchyard-sim (simulated)"
