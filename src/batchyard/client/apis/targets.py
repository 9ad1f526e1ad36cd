"""Where a file may go, as data: what each Batch API allows, what it calls things, its quirks."""

import sys
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from batchyard.rules.limits import LOCAL, RELAXED, STRICT, Limits

__all__ = ["TARGETS", "Target", "status_of", "target_of_url"]

_MIB = 1 << 20
_DAY = 86_400
_CHAT = "/v1/chat/completions"
_EMBEDDINGS = "/v1/embeddings"
# What is listed at once, of one file; a terminal holds no more, and a program can ask for less.
_ERRORS_MAX = 10_000


class Target(Struct, frozen=True, kw_only=True):
    """One Batch API.

    `base_url` is empty where everybody has one of their own; `purpose` is that of its batch files.
    `discount`: the part that a batch pays less than the same requests one by one.
    `enqueued_tokens_max`: input tokens of all unfinished batches of a model, where that is the
    same for everybody; `statuses_upper`: batches' statuses are in capitals; `empty_ids`: a file
    that is not there may be "" instead of null; `bare_lines`: lines need no method and no url.
    """

    name: str
    limits: Limits
    hosts: tuple[str, ...] = ()
    base_url: str = ""
    purpose: str = "batch"
    windows: str = "24h"
    discount: float = 0.5
    enqueued_tokens_max: int | None = None
    expires: bool = True
    poll_seconds: int = 60
    openai_models: bool = False
    refuses_bom: bool = False
    refuses_blank_lines: bool = False
    statuses_upper: bool = False
    empty_ids: bool = False
    bare_lines: bool = False
    quirks: tuple[str, ...] = ()
    source: str


def _limits(base: Limits, **changes: object) -> Limits:
    """Limits of somebody else's server, which has not our own bounds of what one line may cost."""
    limits = replace(base, errors_max=_ERRORS_MAX, **changes)
    return replace(limits, line_bytes_max=limits.input_bytes_max)


_HOSTED = _limits(STRICT, any_file_name=True)

_ALL = (
    Target(
        name="openai",
        limits=_limits(
            STRICT,
            urls=(
                "/v1/responses",
                _CHAT,
                _EMBEDDINGS,
                "/v1/completions",
                "/v1/moderations",
                "/v1/images/generations",
                "/v1/images/edits",
                "/v1/videos",
            ),
        ),
        hosts=("api.openai.com",),
        base_url="https://api.openai.com/v1",
        openai_models=True,
        empty_ids=True,
        quirks=("How many tokens may be enqueued depends on the model and the usage tier.",),
        source="platform.openai.com/docs/guides/batch, November 2026",
    ),
    Target(
        name="azure",
        limits=_limits(
            STRICT,
            requests_max=100_000,
            any_file_name=True,
            urls=(_CHAT, "/v1/responses", "/chat/completions", "/responses"),
        ),
        hosts=("openai.azure.com", "cognitiveservices.azure.com", "services.ai.azure.com"),
        expires=False,
        openai_models=True,
        refuses_bom=True,
        empty_ids=True,
        quirks=(
            "The model is the name of a deployment of the type Global-Batch or Data-Zone-Batch.",
            "In some regions create is refused at once with token_limit_exceeded.",
            "Files with expires_after keep 14 to 30 days and raise the limit of files to 10,000.",
        ),
        source="learn.microsoft.com/azure/ai-foundry/openai/how-to/batch, November 2026",
    ),
    Target(
        name="batchyard",
        limits=replace(RELAXED, errors_max=_ERRORS_MAX),
        windows="1m to 30d",
        poll_seconds=5,
        source="batchyard/rules/limits.py: profile relaxed",
    ),
    Target(
        name="batchyard-strict",
        limits=replace(STRICT, errors_max=_ERRORS_MAX),
        poll_seconds=5,
        source="batchyard/rules/limits.py: profile strict",
    ),
    Target(
        name="local",
        limits=replace(LOCAL, errors_max=_ERRORS_MAX),
        windows="1s to 30d",
        discount=0.0,
        quirks=("What `batchyard run` answers without a server.",),
        source="batchyard/rules/limits.py: LOCAL",
    ),
    Target(
        name="groq",
        limits=_limits(
            _HOSTED,
            input_bytes_max=100 * _MIB,
            urls=(_CHAT,),
            window_seconds_range=(_DAY, 7 * _DAY),
        ),
        hosts=("api.groq.com",),
        base_url="https://api.groq.com/openai/v1",
        windows="24h to 7d",
        discount=0.5,
        source="groq SDK 1.7.0 and console.groq.com/docs/batch, November 2026",
    ),
    Target(
        name="together",
        limits=_limits(_HOSTED, input_bytes_max=100 * _MIB, custom_id_bytes_max=64, urls=(_CHAT,)),
        hosts=("api.together.xyz", "api.together.ai"),
        base_url="https://api.together.xyz/v1",
        purpose="batch-api",
        enqueued_tokens_max=30_000_000_000,
        statuses_upper=True,
        bare_lines=True,
        quirks=(
            "Uploads have the purpose batch-api; create answers {job, warning}.",
            "Batches have progress in percent instead of request_counts; a list is a bare array.",
            "Some models have no discount.",
        ),
        source="docs.together.ai/docs/inference/batch/overview, November 2026",
    ),
    Target(
        name="parasail",
        limits=_limits(_HOSTED, input_bytes_max=100 * _MIB, urls=(_CHAT, _EMBEDDINGS)),
        hosts=("api.parasail.io",),
        base_url="https://api.parasail.io/v1",
        source="docs.parasail.io/parasail-docs/batch/batch-file-format, November 2026",
    ),
    Target(
        name="novita",
        limits=_limits(_HOSTED, urls=(_CHAT, "/v1/completions")),
        hosts=("api.novita.ai",),
        statuses_upper=True,
        bare_lines=True,
        quirks=("Limits of size are not documented; OpenAI's are taken.",),
        source="novita.ai/docs/guides/llm-batch-api, November 2026",
    ),
    Target(
        name="doubleword",
        limits=_limits(_HOSTED, mixed_models=True, window_seconds_range=(3_600, _DAY)),
        hosts=("api.doubleword.ai",),
        windows="1h or 24h",
        quirks=("Limits of size are not documented; OpenAI's are taken.",),
        source="control-layer 10.13",
    ),
    Target(
        name="perplexity",
        limits=_limits(_HOSTED),
        hosts=("api.perplexity.ai",),
        refuses_blank_lines=True,
        quirks=("Files are validated when they are uploaded; expires_after is refused.",),
        source="contract notes of November 2026",
    ),
    Target(
        name="alibaba",
        limits=_limits(_HOSTED, window_seconds_range=(_DAY, 14 * _DAY)),
        hosts=("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com"),
        windows="24h to 14d",
        quirks=("Error texts are OpenAI's.",),
        source="contract notes of November 2026",
    ),
    Target(
        name="any",
        limits=_limits(
            STRICT,
            mixed_models=True,
            any_file_name=True,
            requests_max=sys.maxsize,
            embedding_inputs_max=sys.maxsize,
            self_hosted=True,
        ),
        quirks=("Nothing is known of it: only the form of the lines is checked.",),
        source="none",
    ),
)

TARGETS = {one.name: one for one in _ALL}
_STATUSES = {"canceled": "cancelled", "canceling": "cancelling"}


def status_of(text: str) -> str:
    """A batch's status in OpenAI's spelling, whatever the API writes."""
    lower = text.lower()
    return _STATUSES.get(lower, lower)


def target_of_url(url: str) -> Target | None:
    """The target that a base URL belongs to; None where the host says nothing."""
    host = (urlsplit(url).hostname or "").lower()
    for target in _ALL:
        if any(host == one or host.endswith("." + one) for one in target.hosts):
            return target
    return None
