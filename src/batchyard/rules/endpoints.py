"""The endpoints that a request line may name, as data."""

from msgspec import Struct

__all__ = [
    "EMBEDDINGS",
    "ENDPOINTS",
    "EVERYWHERE",
    "SELF_HOSTED",
    "SUPPORTED",
    "Endpoint",
    "covers",
]

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
# What OpenAI's API knows.
SUPPORTED = tuple(ENDPOINTS)
# What self-hosted servers have beside that, vLLM above all: pooling models, and audio by its URL.
ENDPOINTS |= {
    one.url: one
    for one in (
        Endpoint("/v1/score", "/score", "Scores", ("model",)),
        Endpoint("/v1/rerank", "/rerank", "Rerank", ("model", "query", "documents")),
        Endpoint("/v1/pooling", "/pooling", "Pooling", ("model",)),
        Endpoint("/v1/classify", "/classify", "Classify", ("model",)),
        Endpoint(
            "/v1/audio/transcriptions", "/audio/transcriptions", "Audio transcriptions", ("model",)
        ),
        Endpoint("/v1/audio/translations", "/audio/translations", "Audio translations", ("model",)),
    )
}
EVERYWHERE = tuple(ENDPOINTS)
SELF_HOSTED = EVERYWHERE[len(SUPPORTED) :]
# Azure's files and batches name these without the version.
ENDPOINTS |= {
    ENDPOINTS[url].path: ENDPOINTS[url]
    for url in ("/v1/responses", "/v1/chat/completions", "/v1/completions")
}


def covers(endpoint: str, url: str) -> bool:
    """Whether a line of this url belongs in a batch of this endpoint.

    Where the batch names its endpoint without the version, as on Azure, its lines may do so too.
    """
    if url == endpoint:
        return True
    found = ENDPOINTS[endpoint]
    return found.url != endpoint and ENDPOINTS.get(url) is found
