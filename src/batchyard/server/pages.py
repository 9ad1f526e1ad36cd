"""The pages for everybody: the OpenAPI document, and the same for people.

They are made of the code alone, are the same on every server, and load nothing from elsewhere.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from html import escape
from typing import Any

from starlette.responses import Response

from batchyard.server.describing import Routes, document
from batchyard.wire.objects import to_json

__all__ = ["Pages", "html_of"]

_STYLE = """:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 3rem; border-bottom: 1px solid; }
h3 { margin-top: 2rem; }
code, h3 { font-family: ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: 0.2rem 1rem 0.2rem 0; }
tr { border-bottom: 1px solid #8885; }
nav a { display: inline-block; margin-right: 1rem; }
"""
_digest = b64encode(sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_digest}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


_KINDS = {"/openapi.json": "application/json", "/docs": "text/html"}


class Pages:
    """The pages of these routes; each is made when it is first asked for."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._made: dict[str, bytes] = {}

    def at(self, path: str, verb: str) -> Response | None:
        """The page at a path, if there is one."""
        if path not in _KINDS or verb not in ("GET", "HEAD"):
            return None
        if path not in self._made:
            described = document(self._routes)
            html = path == "/docs"
            self._made[path] = html_of(described).encode() if html else to_json(described)
        headers = {
            "content-security-policy": _POLICY,
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }
        return Response(self._made[path], headers=headers, media_type=_KINDS[path])


def html_of(doc: Mapping[str, Any]) -> str:
    """The document as a page for people."""
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            "<title>Batchyard API</title><style>",
            _STYLE,
            "</style></head><body>",
            f"<h1>Batchyard {escape(doc['info']['version'])}</h1>",
            f"<p>{_prose(doc['info']['description'])}</p>",
            "<p>For programs: <code>GET /openapi.json</code>. ",
            f"{_prose(doc['components']['securitySchemes']['key']['description'])}</p><nav>",
            *(f'<a href="#{_id(tag)}">{escape(tag)}</a>' for tag in _tags(doc)),
            '<a href="#errors">errors</a><a href="#objects">objects</a></nav>',
            *(text for tag in _tags(doc) for text in _resource(doc, tag)),
            *_errors(doc),
            *_objects(doc),
            "</body></html>",
        )
    )


def _tags(doc: Mapping[str, Any]) -> list[str]:
    return [tag["name"] for tag in doc["tags"]]


def _resource(doc: Mapping[str, Any], tag: str) -> Iterator[str]:
    yield f'<h2 id="{_id(tag)}">{escape(tag)}</h2>'
    for path, verbs in doc["paths"].items():
        for verb, operation in verbs.items():
            if tag in operation["tags"]:
                yield from _operation(path, verb, operation)


def _operation(path: str, verb: str, operation: Mapping[str, Any]) -> Iterator[str]:
    name = operation["operationId"]
    yield f'<h3 id="{_id(name)}">{verb.upper()} {escape(path)}</h3>'
    yield f"<p>{_prose(operation['summary'])} {_prose(operation['description'])}</p>"
    rows = [
        (one["name"], one["in"], one["schema"], one["description"], one["required"])
        for one in operation["parameters"]
    ]
    for media_type, content in operation.get("requestBody", {"content": {}})["content"].items():
        place = "form" if media_type.startswith("multipart") else "body"
        schema = content["schema"]
        rows += [
            (field, place, one, one["description"], field in schema["required"])
            for field, one in schema["properties"].items()
        ]
    if rows:
        yield "<table><tr><th>Parameter</th><th>In</th><th>Value</th><th></th></tr>"
        for field, place, schema, sentence, required in rows:
            must = " <strong>Required.</strong>" if required else ""
            yield f"<tr><td><code>{escape(field)}</code></td><td>{place}</td>"
            yield f"<td>{_value(schema)}</td><td>{_prose(sentence)}{must}</td></tr>"
        yield "</table>"
    responses = dict(operation["responses"])
    answers = responses.pop("200")["content"].items()
    shown = ", ".join(
        _value(one["schema"]) if media_type == "application/json" else escape(media_type)
        for media_type, one in answers
    )
    refusals = ", ".join(f'<a href="#error-{status}">{status}</a>' for status in responses)
    yield f"<p>Answers: {shown}. Refuses with {refusals}.</p>"


def _errors(doc: Mapping[str, Any]) -> Iterator[str]:
    yield '<h2 id="errors">errors</h2><p>The envelope of each: '
    yield "<code>{&quot;error&quot;: {message, type, param, code}}</code>.</p><table>"
    for status, refusal in doc["components"]["responses"].items():
        yield f'<tr id="error-{status}"><td>{status}</td>'
        yield f"<td>{_prose(refusal['description'])}</td></tr>"
    yield "</table>"


def _objects(doc: Mapping[str, Any]) -> Iterator[str]:
    yield '<h2 id="objects">objects</h2>'
    for name, schema in doc["components"]["schemas"].items():
        yield f'<h3 id="object-{_id(name)}">{escape(schema.get("title", name))}</h3>'
        yield f"<p>{_prose(schema.get('description', ''))}</p><table>"
        for field, one in schema["properties"].items():
            yield f"<tr><td><code>{escape(field)}</code></td><td>{_value(one)}</td></tr>"
        yield "</table>"


def _value(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#object-{_id(name)}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_value, schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    if schema.get("type") == "array":
        return f"array of {_value(schema.get('items') or {})}"
    if "properties" in schema:
        fields = (f"{escape(name)}: {_value(one)}" for name, one in schema["properties"].items())
        return f"{{{', '.join(fields)}}}"
    type = schema.get("type", "anything")
    words = escape(" or ".join(type) if isinstance(type, list) else type)
    if "minimum" in schema and "maximum" in schema:
        words += f" from {schema['minimum']} to {schema['maximum']}"
    if schema.get("default") is not None:
        words += f", {escape(str(schema['default']))} by default"
    return words


def _prose(text: str) -> str:
    """A sentence with its `code` as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


def _id(name: str) -> str:
    """A name as the target of a link."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())
