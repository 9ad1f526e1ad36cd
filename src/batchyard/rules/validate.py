"""Whether a file of requests may become a batch, and if not, all that is wrong with it."""

from collections.abc import Callable, Collection, Iterable, Sequence

from batchyard.rules.limits import Limits
from batchyard.rules.lines import url_fault
from batchyard.rules.scan import Digest, Scan, ShardSpan
from batchyard.rules.served import OF_CHECK, Unserved, Wording
from batchyard.wire.objects import BatchError

__all__ = ["Digest", "Scan", "ShardSpan", "explain", "fits", "study"]


def fits(
    digest: Digest, *, endpoint: str | None, limits: Limits, known_model: Callable[[str], bool]
) -> bool:
    """Whether the digest alone proves that the file is fine for this endpoint."""
    return (
        not digest.errors_total
        and not digest.stopped
        and not digest.suspects
        and not _file_errors(digest, limits)
        and all(url_fault(url, limits, endpoint) is None for url in digest.urls)
        and (limits.mixed_models or len(digest.models) == 1)
        and all(known_model(model) for model in digest.models if model)
    )


def explain(
    chunks: Callable[[], Iterable[bytes]],
    *,
    endpoint: str | None,
    limits: Limits,
    known_model: Callable[[str], bool],
    served: Sequence[str] = (),
    wording: Wording = OF_CHECK,
) -> tuple[BatchError, ...]:
    """All that is wrong with a file, in file order; nothing if it is fine.

    Reads the file once, and again where lines may share a custom_id. At most
    `limits.errors_max` errors are told; then the last one says how many more there are, or that
    there were so many that the rest was not examined.
    """
    _, errors = study(
        chunks,
        endpoint=endpoint,
        limits=limits,
        known_model=known_model,
        served=served,
        wording=wording,
    )
    return errors


def study(
    chunks: Callable[[], Iterable[bytes]],
    *,
    endpoint: str | None,
    limits: Limits,
    known_model: Callable[[str], bool],
    served: Sequence[str] = (),
    wording: Wording = OF_CHECK,
    beside: Callable[[bytes, Collection[tuple[str, str]]], None] | None = None,
) -> tuple[Digest, tuple[BatchError, ...]]:
    """What a file asks for, and all that is wrong with it, as `explain` tells it.

    `served` are models that are told where one is not known, in this `wording`. `beside` sees
    each chunk once, with the urls and models that lines ask for up to its end.
    """
    scan = Scan(
        limits, endpoint=endpoint, known_model=known_model, unserved=Unserved(served, wording)
    )
    for chunk in chunks():
        scan.feed(chunk)
        if beside is not None:
            beside(chunk, scan.asked)
    digest = scan.finish()
    if digest.suspects:
        scan = Scan(
            limits,
            endpoint=endpoint,
            known_model=known_model,
            repeats=scan.repeats(),
            unserved=Unserved(served, wording),
        )
        for chunk in chunks():
            scan.feed(chunk)
        digest = scan.finish()
    errors = (*_file_errors(digest, limits), *digest.errors)
    hidden = digest.errors_total - len(digest.errors)
    if hidden or len(errors) > limits.errors_max:
        hidden += len(errors) - (limits.errors_max - 1)
        message = f"{hidden:,} more lines have errors that are not listed here."
        if digest.stopped:
            message = f"At least {message} The rest of the file was not examined."
        errors = (
            *errors[: limits.errors_max - 1],
            BatchError(code="too_many_errors", message=message),
        )
    return digest, errors


def _file_errors(digest: Digest, limits: Limits) -> tuple[BatchError, ...]:
    """What is wrong with the file as a whole."""
    errors = []
    if not digest.lines and not digest.errors_total:
        errors.append(
            BatchError(code="empty_file", message="The input file is empty: it has no request.")
        )
    for code, found, most, what in (
        ("maximum_requests_exceeded", digest.lines, limits.requests_max, "requests"),
        ("maximum_input_file_size_exceeded", digest.bytes, limits.input_bytes_max, "bytes"),
        (
            "maximum_embedding_inputs_exceeded",
            digest.embedding_inputs,
            limits.embedding_inputs_max,
            "embedding inputs",
        ),
    ):
        if found > most:
            errors.append(
                BatchError(
                    code=code,
                    message=f"The input file has {found:,} {what}; a batch may have at most "
                    f"{most:,}. Split it into several files.",
                )
            )
    return tuple(errors)
