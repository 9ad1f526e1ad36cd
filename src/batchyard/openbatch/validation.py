"""openbatch's validation, with the server's own rules: all that is wrong, line by line."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from batchyard.client.examining.reading import chunks_of
from batchyard.rules.limits import STRICT, Limits
from batchyard.rules.validate import Digest, Scan, explain, study
from batchyard.wire.objects import BatchError

__all__ = ["BatchFileValidator", "ValidationResult", "quick_validate", "validate_batch_file"]

_UNREADABLE = "invalid_json_line"


@dataclass
class ValidationResult:
    """Whether a file is valid, and all that is wrong with it."""

    is_valid: bool
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    stats: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"Validation: {'PASSED' if self.is_valid else 'FAILED'}"]
        if self.stats:
            lines += ["\nStatistics:", *(f"  {name}: {one}" for name, one in self.stats.items())]
        for title, told in (("Errors", self.errors), ("Warnings", self.warnings)):
            if told:
                lines += [f"\n{title} ({len(told)}):", *(f"  • {one}" for one in told)]
        return "\n".join(lines)


class BatchFileValidator:
    """Holds files to the server's rules; some of them can be left out."""

    def __init__(
        self,
        check_custom_id_uniqueness: bool = True,
        check_file_size: bool = True,
        check_request_count: bool = True,
        allow_mixed_endpoints: bool = False,
    ) -> None:
        self.check_custom_id_uniqueness = check_custom_id_uniqueness
        self.check_file_size = check_file_size
        self.check_request_count = check_request_count
        self.allow_mixed_endpoints = allow_mixed_endpoints

    def validate_file(self, file_path: str | PathLike[str]) -> ValidationResult:
        """All that is wrong with a file."""
        path = Path(file_path)
        if not path.is_file():
            return ValidationResult(False, errors=[f"File not found: {path}"])
        limits = replace(
            STRICT,
            input_bytes_max=STRICT.input_bytes_max if self.check_file_size else sys.maxsize,
            requests_max=STRICT.requests_max if self.check_request_count else sys.maxsize,
            mixed_models=self.allow_mixed_endpoints,
        )
        digest, found = _studied(partial(chunks_of, path), limits, mixed=self.allow_mixed_endpoints)
        # A line has one error at most.
        no_new_id = sum(one.param == "custom_id" or one.code == _UNREADABLE for one in found)
        if not self.check_custom_id_uniqueness:
            found = tuple(one for one in found if one.code != "duplicate_custom_id")
        warned = [] if path.suffix == ".jsonl" else [_odd_name(path)]
        if digest.blank_lines:
            warned.append(f"Empty lines, which will be ignored: {digest.blank_lines:,}")
        stats = {
            "file_size_mb": round(digest.bytes / (1 << 20), 2),
            "total_requests": digest.lines,
            "unique_custom_ids": digest.lines - no_new_id,
            "endpoints_used": sorted(digest.urls),
        }
        return ValidationResult(not found, [_told(one) for one in found], warned, stats)


def validate_batch_file(
    file_path: str | PathLike[str],
    strict: bool = True,
    check_custom_id_uniqueness: bool = True,
    allow_mixed_endpoints: bool = False,
) -> ValidationResult:
    """All that is wrong with a file; without `strict`, its size and count do not matter."""
    validator = BatchFileValidator(
        check_custom_id_uniqueness, strict, strict, allow_mixed_endpoints
    )
    return validator.validate_file(file_path)


def quick_validate(file_path: str | PathLike[str]) -> bool:
    """Whether a file is valid."""
    return validate_batch_file(file_path).is_valid


def _studied(
    chunks: Callable[[], Iterator[bytes]], limits: Limits, *, mixed: bool
) -> tuple[Digest, tuple[BatchError, ...]]:
    """What a file asks for and what is wrong with it; its endpoint is that of most lines."""
    digest, found = study(chunks, endpoint=None, limits=limits, known_model=_any_model)
    if found or len(digest.urls) > 1:
        scan = Scan(limits)
        for chunk in chunks():
            scan.feed(chunk)
        digest = scan.finish()
        most = max(sorted(digest.urls), key=lambda url: digest.urls[url], default=None)
        endpoint = None if mixed else most
        found = explain(chunks, endpoint=endpoint, limits=limits, known_model=_any_model)
    return digest, found


def _any_model(_model: str) -> bool:
    return True


def _odd_name(path: Path) -> str:
    return f"File extension is '{path.suffix}', expected '.jsonl'"


def _told(error: BatchError) -> str:
    where = f"Line {error.line}: " if error.line else ""
    return f"{where}{error.message} ({error.code})"
