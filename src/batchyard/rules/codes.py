"""Every code of an error or a reason: what it means, and what to do about it."""

from collections.abc import Mapping
from difflib import get_close_matches

from msgspec import Struct

from batchyard.rules.reason_codes import REASON_CODES

__all__ = ["CODES", "Explained", "explain", "near"]

_FILE, _CALL, _LINE, _END, _WAIT, _CHECK = (
    "a file of requests",
    "a call of the API",
    "a request of a batch",
    "a campaign",
    "why a batch or a server stands still",
    "a warning of `batchyard check`",
)


class Explained(Struct, frozen=True):
    """One code: where it is seen, what it means, what to do; `passes`, whether it may go away."""

    where: str
    meaning: str
    remedy: str
    passes: bool = False


def _table(where: str, rows: Mapping[str, tuple[str, str] | tuple[str, str, bool]]) -> None:
    for code, row in rows.items():
        CODES[code] = Explained(where, *row)


CODES: dict[str, Explained] = {}
_SPLIT = "Split the file: batchyard split."

_table(
    _FILE,
    {
        "invalid_json_line": (
            "A line is not one JSON object in UTF-8, or one of its keys stands twice.",
            "See the line with batchyard check; batchyard fix repairs what can be repaired.",
        ),
        "duplicate_custom_id": (
            "Two requests have the same custom_id, so their answers could not be told apart.",
            "Make each id unique; batchyard fix numbers the later ones.",
        ),
        "invalid_custom_id": (
            "The custom_id is no string, empty, too long, or has control characters.",
            "Write a short string; batchyard fix makes one.",
        ),
        "invalid_method": ("The method is not POST.", "Write POST; batchyard fix does."),
        "invalid_url": (
            "The url of a line is not supported, or not that of the batch's endpoint.",
            "One batch has one endpoint: batchyard split makes a file for each.",
        ),
        "invalid_request": (
            "A request has no object as its body, or a value that no request can have.",
            "See the line with batchyard check.",
        ),
        "mismatched_model": (
            "The file asks more than one model, and this server takes one for each batch.",
            "batchyard split makes a file for each model.",
        ),
        "streaming_unsupported": (
            "A request asks for a stream, which a batch cannot give.",
            "Leave out `stream`; batchyard fix does.",
        ),
        "maximum_requests_exceeded": ("The file has more requests than a batch may.", _SPLIT),
        "maximum_input_file_size_exceeded": ("The file has more bytes than a batch may.", _SPLIT),
        "maximum_embedding_inputs_exceeded": (
            "The file has more inputs to embed than a batch may.",
            _SPLIT,
        ),
        "empty_file": ("The file has no request.", "Write at least one line."),
        "too_many_errors": (
            "More lines are wrong than are listed.",
            "Mend those that are listed, or see all with batchyard check.",
        ),
        "byte_order_mark": (
            "The file begins with a mark that some editors write and some servers refuse.",
            "Save it as UTF-8 without one; batchyard fix does.",
        ),
        "blank_lines": ("The file has blank lines.", "Remove them; batchyard fix does."),
        "mixed_models": (
            "The file asks more than one model; some servers take one for each batch.",
            "batchyard split makes a file for each model.",
        ),
    },
)
_table(
    _CHECK,
    {
        "max_tokens_unsupported": (
            "The model refuses `max_tokens`.",
            "Write `max_completion_tokens`; batchyard fix does.",
        ),
        "temperature_unsupported": (
            "The model refuses a temperature of your own.",
            "Leave it out.",
        ),
        "unknown_parameter": (
            "The endpoint has no parameter of this name; it may be a typing error.",
            "See the suggestion; if you mean it, it is sent as it is.",
        ),
        "response_format_shape": (
            "The shape that the answer shall have stands in the wrong place or form.",
            "Chat takes `response_format`, responses take `text.format`.",
        ),
    },
)
_table(
    _CALL,
    {
        "invalid_api_key": (
            "The key is missing, wrong, revoked or expired.",
            "See which key is sent: batchyard doctor.",
        ),
        "mismatched_organization": (
            "The header OpenAI-Organization names another one than the key's.",
            "Leave it out.",
        ),
        "mismatched_project": (
            "The header OpenAI-Project names another project than the key's.",
            "Leave it out, or use a key of that project.",
        ),
        "not_authorized_invalid_project": (
            "The project of the key is archived.",
            "Use a key of a project that is active.",
        ),
        "model_not_found": (
            "No model of this name is served there.",
            "See which there are: batchyard doctor. On Azure it is the name of a deployment.",
        ),
        "missing_required_parameter": ("A parameter is not there.", "`param` names it."),
        "invalid_type": ("A parameter has the wrong JSON type.", "`param` names it."),
        "invalid_value": ("A parameter has a value that it must not have.", "`param` names it."),
        "integer_below_min_value": ("A number is too small.", "`param` names it."),
        "integer_above_max_value": ("A number is too large.", "`param` names it."),
        "object_above_max_properties": ("An object has too many keys.", "`param` names it."),
        "property_name_above_max_length": ("A key of an object is too long.", "`param` names it."),
        "string_above_max_length": ("A text is too long.", "`param` names it."),
        "empty_string": ("A text is empty that must say something.", "`param` names it."),
        "empty_array": ("A list is empty that must not be.", "`param` names it."),
        "unsupported_parameter": ("There is no such parameter here.", "Leave it out."),
        "method_not_supported": ("The path takes other methods.", "`Allow` names them."),
        "idempotency_key_reused": (
            "The Idempotency-Key was used before, for something else.",
            "Take a new key for each new thing.",
        ),
        "idempotency_key_in_use": (
            "The same call with the same Idempotency-Key is under way.",
            "Ask again in a moment.",
            True,
        ),
        "storage_limit_exceeded": (
            "The project keeps as many bytes of files as it may.",
            "Delete files: batchyard files rm.",
        ),
        "insufficient_storage": (
            "The disk of the server is full.",
            "Who runs it: free room, or batchyard gc. Then ask again.",
            True,
        ),
        "webhook_endpoint_limit_reached": (
            "The project has as many webhook endpoints as it may.",
            "Delete one.",
        ),
        "webhook_delivery_failed": (
            "The test did not reach the webhook's receiver.",
            "See what became of it: batchyard webhooks deliveries.",
        ),
        "address_refused": (
            "The webhook's address is not one that this server may tell.",
            "Who runs it: allow it with `webhook_hosts`.",
        ),
        "invalid_answer": (
            "The webhook's receiver, or a list of models, answered what cannot be read.",
            "Is it the right address? It is tried again.",
            True,
        ),
        "unreachable": ("The webhook's receiver could not be reached.", "It is tried again.", True),
        "invalid_response": (
            "The server's answer is not what a Batch API answers.",
            "Is the base URL right? It usually ends in /v1. See: batchyard doctor.",
        ),
    },
)
_table(
    _LINE,
    {
        "invalid_request_error": (
            "The model's server has refused the request as wrong; its message says why.",
            "Change the request; asking the same again brings the same.",
        ),
        "rate_limit_exceeded": (
            "Too many requests or tokens in a minute.",
            "Ask those again later: batchyard retry.",
            True,
        ),
        "token_limit_exceeded": (
            "With this batch, more input tokens would be enqueued than you may have.",
            "Wait until other batches end, or submit less at once: --max-enqueued-tokens.",
            True,
        ),
        "insufficient_quota": (
            "The account has no credit, or has used up what it may spend.",
            "Pay or raise the limit; then batchyard retry.",
        ),
        "billing_hard_limit": (
            "The account has reached its limit of spending.",
            "Raise the limit; then batchyard retry.",
        ),
        "context_length_exceeded": (
            "The request is longer than the model can read.",
            "Shorten it, or choose a model with a longer context.",
        ),
        "content_filter": (
            "The answer was withheld for what it says.",
            "Change the request; asking the same again brings the same.",
        ),
        "content_policy_violation": (
            "The request was refused for what it asks.",
            "Change the request; asking the same again brings the same.",
        ),
        "refusal": ("The model has declined to answer.", "Change the request."),
        "server_error": (
            "The model's server failed.",
            "Ask those again: batchyard retry.",
            True,
        ),
        "internal_error": ("The server failed.", "Ask those again: batchyard retry.", True),
        "service_unavailable": (
            "The model's server was not there for the moment.",
            "Ask those again: batchyard retry.",
            True,
        ),
        "request_timeout": (
            "No complete answer came in time.",
            "Ask those again: batchyard retry. On your server: `timeout_seconds`.",
            True,
        ),
        "upstream_unreachable": (
            "The model's server could not be reached.",
            "Is it up? Then batchyard retry.",
            True,
        ),
        "invalid_upstream_response": (
            "The model's server has answered something that is no JSON.",
            "See its own log; then batchyard retry.",
            True,
        ),
        "response_too_large": (
            "The answer was larger than what is kept.",
            "Ask for less in one request.",
        ),
        "worker_lost": (
            "The process that asked this line died again and again.",
            "See the server's log; then batchyard retry.",
            True,
        ),
        "file_corrupt": (
            "Stored bytes are not those that came; the server gives out no wrong ones.",
            "Upload the file again.",
        ),
        "batch_expired": (
            "The batch's window ended before this request was asked.",
            "Ask those again: batchyard retry.",
            True,
        ),
        "batch_cancelled": (
            "The batch was cancelled before this request was asked.",
            "If you want them after all: batchyard retry.",
        ),
        "budget_reached": (
            "The batch has cost as much as it may.",
            "Raise the budget; then batchyard retry.",
        ),
        "price_unknown": (
            "The batch has a budget, and no price of its model is known.",
            "Who runs the server: add a [[price]] for the model.",
        ),
    },
)
_table(
    _END,
    {
        "length": (
            "The answer was cut off by the most tokens it may have.",
            "Raise `max_completion_tokens`; a campaign does so by itself, up to a bound.",
        ),
        "no_text": (
            "The row of the table has no text, so nothing was asked.",
            "Fill in the column, or leave the row out.",
        ),
        "invalid_json": (
            "The answer is not the JSON that was asked for.",
            "A campaign asks again; a schema with `strict` prevents most of them.",
            True,
        ),
        "missing": (
            "The batch has ended without a line for this request.",
            "A campaign asks again; else batchyard retry.",
            True,
        ),
        "batch_failed": (
            "The batch failed before any of its requests was asked.",
            "See why: batchyard errors BATCH.",
        ),
        "batch_refused": ("The server did not take the batch.", "See why: batchyard status DIR."),
    },
)
_table(_WAIT, REASON_CODES)
# Names that others have for the same.
_ALSO = {
    "batch_canceled": "batch_cancelled",
    "internal_server_error": "server_error",
    "overloaded": "service_unavailable",
    "engine_overloaded": "service_unavailable",
    "timeout": "request_timeout",
    "billing_hard_limit_reached": "billing_hard_limit",
    "400": "invalid_request_error",
    "401": "invalid_api_key",
    "408": "request_timeout",
    "429": "rate_limit_exceeded",
    "500": "server_error",
    "502": "upstream_unreachable",
    "503": "service_unavailable",
    "504": "request_timeout",
    "507": "insufficient_storage",
}


def explain(code: str) -> Explained | None:
    """What a code means; None where nobody knows."""
    code = code.strip().lower()
    return CODES.get(_ALSO.get(code, code))


def near(word: str) -> list[str]:
    """Codes that may be meant by a word: those in which it stands, or one that is like it."""
    word = word.lower()
    found = [code for code in CODES if word in code] or get_close_matches(word, CODES)
    if found:
        return found
    parts = {part for code in CODES for part in code.split("_")}
    like = get_close_matches(word, sorted(parts), n=1)
    return [code for code in CODES if like and like[0] in code.split("_")]
