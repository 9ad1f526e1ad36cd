"""What mends each fault of a file, in one sentence."""

from batchyard.rules.endpoints import SELF_HOSTED

__all__ = ["advice_for"]

_SELF_HOSTED_URLS = tuple(f"The URL '{url}' " for url in SELF_HOSTED)

_FIXES = "`batchyard fix` "
_SPLIT = "`batchyard split` makes files that fit."
_ADVICE = {
    "invalid_json_line": "Write each request as one JSON object on one line, in UTF-8.",
    "duplicate_custom_id": "Give each request an id of its own; "
    + _FIXES
    + "numbers the later ones.",
    "invalid_custom_id": "Give the request an id: a short string without control characters.",
    "invalid_method": f'Write "method": "POST"; {_FIXES}does.',
    "invalid_url": f"All lines have the url of the batch's endpoint; {_FIXES}sets it with --url, "
    "`batchyard split` makes a file for each.",
    "mismatched_model": "`batchyard split` makes a file for each model.",
    "model_not_found": "Name a model that the target serves.",
    "streaming_unsupported": f"Leave out 'stream'; {_FIXES}does.",
    "maximum_requests_exceeded": _SPLIT,
    "maximum_input_file_size_exceeded": _SPLIT,
    "maximum_embedding_inputs_exceeded": _SPLIT,
    "token_limit_exceeded": "`batchyard split --max-tokens` makes files that fit one after "
    "another.",
    "empty_file": "Write at least one request.",
    "byte_order_mark": f"Save as UTF-8 without one; {_FIXES}does.",
    "blank_lines": f"Remove them; {_FIXES}does.",
    "too_many_errors": "Mend those that are listed and check again.",
}
_BY_PARAM = {
    "method": f'Write "method": "POST"; {_FIXES}does.',
    "url": f"Write the endpoint, such as /v1/chat/completions; {_FIXES}does with --url.",
    "custom_id": f"Give the request an id; {_FIXES}makes one.",
    "body": "Write the request's parameters as the JSON object 'body'.",
    "body.messages": 'Write "messages": [{"role": "user", "content": "..."}].',
    "body.model": "Name the model in the body.",
    "body.input": 'Write "input" in the body.',
}


_ONLY_SELF_HOSTED = (
    "Only self-hosted servers have it: send such requests to your own, with `batchyard run` or a "
    "server; `batchyard split` makes a file for each url. Another url would not fit their bodies."
)


def advice_for(code: str, param: str | None, message: str = "") -> str | None:
    """How to mend a fault; None where nobody knows."""
    if code == "invalid_url" and message.startswith(_SELF_HOSTED_URLS):
        return _ONLY_SELF_HOSTED
    return _ADVICE.get(code) or _BY_PARAM.get(param or "")
