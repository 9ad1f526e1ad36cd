"""The endpoints that a request line may name, as data."""

from msgspec import Struct

__all__ = ["EMBEDDINGS", "ENDPOINTS", "Endpoint"]

# Of its requests the inputs are counted.
EMBEDDINGS = "/v1/embeddings"


class Endpoint(Struct, frozen=True):
    """One endpoint: `path` follows an upstream's base URL, `required` are fields of the body."""

    url: str
    path: str
    name: str
    required: tuple[str, ...]


ENDPOINTS = {
    one.url: one
    for one in (
        Endpoint("/v1/responses", "/responses", "Responses", ("model",)),
        Endpoint(
            "/v1/chat/completions",
            "/chat/completions",
            "Chat Completions",
            ("model", "messages"),
        ),
        Endpoint(EMBEDDINGS, "/embeddings", "Embeddings", ("model", "input")),
        Endpoint("/v1/completions", "/completions", "Completions", ("model", "prompt")),
        Endpoint("/v1/moderations", "/moderations", "Moderations", ("input",)),
        Endpoint("/v1/images/generations", "/images/generations", "Image generations", ("prompt",)),
        Endpoint("/v1/images/edits", "/images/edits", "Image edits", ("prompt",)),
        Endpoint("/v1/videos", "/videos", "Videos", ("prompt",)),
    )
}
