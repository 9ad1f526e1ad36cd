"""Makes the OpenAPI document of all routes from their table, their endpoints and their types."""

from collections.abc import Callable, Mapping
from inspect import getdoc
from typing import Any

import msgspec
from msgspec import Struct

from batchyard import __version__
from batchyard.server.openapi import DESCRIBED, ERRORS, Described
from batchyard.server.scopes import SCOPES, ScopeName
from batchyard.server.vocabulary import Param, Schema

__all__ = ["Routes", "document"]

# Of each verb of a path: the scope that it needs, and its endpoint.
Routes = Mapping[str, Mapping[str, tuple[ScopeName, Callable[..., Any]]]]

_ABOUT = """OpenAI's Files, Uploads, Batches, Models and Webhooks in front of any
OpenAI-compatible upstream. Whatever is not marked as ours is as OpenAI has it; ours are
additions that its clients take no notice of. Azure's clients find the same under `/openai/v1`
(and `/openai` with `api-version`), with the key in `api-key`. Every answer has
`x-request-id`, `openai-processing-ms` and `x-ratelimit-*`."""
_REF = "#/components/schemas/{name}"
_EVERYWHERE = (401, 403, 429, 500, 503)
# Whether a sentence about an error came from us or from OpenAI, its envelope is the same.
_ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def document(routes: Routes) -> dict[str, Any]:
    """Describe these routes, each of which must stand in the table.

    Raises KeyError for a route that nobody has described.
    """
    types = [one for described in DESCRIBED.values() for one in _types(described.answer)]
    _, schemas = msgspec.json.schema_components(types, ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Batchyard", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "tags": [{"name": name} for name in dict.fromkeys(map(_tag, routes))],
        "paths": {
            path: {
                verb.lower(): _operation(path, verb, *route)
                for verb, route in sorted(verbs.items())
            }
            for path, verbs in routes.items()
        },
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": f"A key may be held to scopes: {', '.join(SCOPES)}.",
                }
            },
            "schemas": schemas | {"Error": _ERROR},
            "responses": {str(status): _refusal(*ERRORS[status]) for status in ERRORS},
        },
    }


def _operation(
    path: str, verb: str, scope: ScopeName, endpoint: Callable[..., Any]
) -> dict[str, Any]:
    described = DESCRIBED[f"{verb} {path}"]
    summary, _, rest = (getdoc(endpoint) or "").partition("\n\n")
    room = endpoint.__module__.rpartition(".")[2]
    ours = "Not in OpenAI's API." if described.ours else ""
    parts = (rest, ours, f"Scope: `{scope}`.")
    operation: dict[str, Any] = {
        "operationId": f"{room}.{endpoint.__name__.rstrip('_')}",
        "tags": [_tag(path)],
        "summary": " ".join(summary.split()),
        "description": " ".join(" ".join(filter(None, parts)).split()),
        "parameters": _parameters(path, described),
        "responses": {"200": _answer(described.answer)}
        | {
            str(status): {"$ref": f"#/components/responses/{status}"}
            for status in sorted(
                {*_EVERYWHERE, *described.refuses, *([507] if verb == "POST" else [])}
            )
        },
        "x-scope": scope,
        "x-ours": described.ours,
    }
    if described.body:
        operation["requestBody"] = _body(described)
    return operation


def _tag(path: str) -> str:
    """The resource of a path: files, batches, ..."""
    return path.split("/")[2]


def _parameters(path: str, described: Described) -> list[dict[str, Any]]:
    ids = [word[1:-1] for word in path.split("/") if word.startswith("{")]
    found = [("path", Param(id, {"type": "string"}, "Its id.", True)) for id in ids]
    found += [("query", one) for one in described.query]
    found += [("header", one) for one in described.headers]
    return [
        {
            "name": one.name,
            "in": place,
            "required": one.required,
            "description": one.sentence,
            "schema": one.schema,
        }
        for place, one in found
    ]


def _body(described: Described) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": [one.name for one in described.body if one.required],
        "properties": {
            one.name: {**one.schema, "description": one.sentence} for one in described.body
        },
    }
    media_type = "multipart/form-data" if described.form else "application/json"
    return {"required": not described.may_be_empty, "content": {media_type: {"schema": schema}}}


def _answer(answer: Any) -> dict[str, Any]:
    if isinstance(answer, Mapping):
        content = {name: {"schema": schema} for name, schema in answer.items()}
        return {"description": "The bytes.", "content": content}
    (type,) = _types(answer)
    (schema,), _ = msgspec.json.schema_components([type], ref_template=_REF)
    if isinstance(answer, list):
        schema = {
            "type": "object",
            "required": ["object", "data"],
            "properties": {
                "object": {"const": "list"},
                "data": {"type": "array", "items": schema},
            },
        }
    return {"description": "Done.", "content": {"application/json": {"schema": schema}}}


def _types(answer: Any) -> list[type[Struct]]:
    if isinstance(answer, Mapping):
        return []
    return answer if isinstance(answer, list) else [answer]


def _refusal(sentence: str, codes: tuple[str, ...]) -> dict[str, Any]:
    listed = f" Codes: {', '.join(f'`{code}`' for code in codes)}." if codes else ""
    schema = {"$ref": _REF.format(name="Error")}
    return {
        "description": sentence + listed,
        "content": {"application/json": {"schema": schema}},
        "x-codes": list(codes),
    }
