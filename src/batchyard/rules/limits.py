"""Every limit, once, with its source."""

import re
import sys
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

__all__ = [
    "BATCHES_PAGE",
    "EXPIRES_AFTER_SECONDS",
    "FILES_PAGE",
    "INPUT_EXPIRES_SECONDS",
    "LOCAL",
    "METADATA_KEYS_MAX",
    "METADATA_KEY_CHARACTERS_MAX",
    "METADATA_VALUE_CHARACTERS_MAX",
    "OUTPUT_EXPIRES_SECONDS",
    "PROFILES",
    "RELAXED",
    "RESULTS_MAX",
    "SETTABLE",
    "STRICT",
    "UPLOAD_BYTES_MAX",
    "UPLOAD_PARTS_MAX",
    "UPLOAD_PART_BYTES_MAX",
    "UPLOAD_SECONDS",
    "Limits",
    "limits_of_project",
    "window_seconds",
]

# OpenAI's reference of the Files and Batches API, November 2026.
METADATA_KEYS_MAX = 16
METADATA_KEY_CHARACTERS_MAX = 64
METADATA_VALUE_CHARACTERS_MAX = 512
EXPIRES_AFTER_SECONDS = (3_600, 2_592_000)
# (least, most, default) of `limit`.
FILES_PAGE = (1, 10_000, 10_000)
BATCHES_PAGE = (1, 100, 20)
# Ours: the most result lines that can be asked for by number; without a number all come.
RESULTS_MAX = 10_000_000
# What is uploaded in parts: the whole, one part, and the time until it must be complete.
UPLOAD_BYTES_MAX = 8 << 30
UPLOAD_PART_BYTES_MAX = 64 << 20
UPLOAD_SECONDS = 3_600
# Ours: a part has a row.
UPLOAD_PARTS_MAX = 10_000
# Batch input files expire after 30 days, results 30 days after the batch has ended.
INPUT_EXPIRES_SECONDS = 2_592_000
OUTPUT_EXPIRES_SECONDS = 2_592_000

_MIB = 1 << 20


class Limits(Struct, frozen=True, kw_only=True):
    """What a profile allows.

    The defaults up to `stored_bytes_max` are OpenAI's; the rest are ours, to bound what one line
    may cost. `window_seconds_range` None means that only "24h" is a window.
    `urls` are those that lines may have; None stands for all that are known, with `self_hosted`
    those too that OpenAI does not have.
    `errors_max` are told, `wrong_lines_max` sought: a file with so many is examined no further.
    With `quota_waits`, a batch that is over its quota waits; else it fails. With `extras`, batches
    have a priority and are shown with a key `batchyard`.
    """

    requests_max: int = 50_000
    input_bytes_max: int = 200 * _MIB
    embedding_inputs_max: int = 50_000
    file_bytes_max: int = 512 * _MIB
    batches_per_hour_max: int = 2_000
    stored_bytes_max: int = 2_500_000_000_000
    mixed_models: bool = False
    any_file_name: bool = False
    window_seconds_range: tuple[int, int] | None = None
    urls: tuple[str, ...] | None = None
    self_hosted: bool = False
    quota_waits: bool = False
    extras: bool = False
    line_bytes_max: int = 10 * _MIB
    custom_id_bytes_max: int = 1_024
    model_bytes_max: int = 1_024
    nesting_max: int = 128
    errors_max: int = 1_000
    wrong_lines_max: int = 20_000
    models_max: int = 1_000
    shard_lines: int = 500


# OpenAI to the letter.
STRICT = Limits()
# What self-hosted models need not refuse: windows from a minute to thirty days, mixed models.
RELAXED = Limits(
    mixed_models=True,
    any_file_name=True,
    window_seconds_range=(60, 30 * 24 * 3_600),
    quota_waits=True,
    extras=True,
    self_hosted=True,
)
# A file on one's own disk, run without a server.
LOCAL = Limits(
    mixed_models=True,
    any_file_name=True,
    window_seconds_range=(1, 30 * 24 * 3_600),
    requests_max=sys.maxsize,
    input_bytes_max=sys.maxsize,
    embedding_inputs_max=sys.maxsize,
    self_hosted=True,
)

PROFILES = {"strict": STRICT, "relaxed": RELAXED}
# What a project may have otherwise than its profile says.
SETTABLE = (
    "requests_max",
    "input_bytes_max",
    "embedding_inputs_max",
    "file_bytes_max",
    "batches_per_hour_max",
    "stored_bytes_max",
)


def limits_of_project(
    default: Limits, profile: str | None, differing: Mapping[str, int] | None
) -> Limits:
    """The limits of a project on a server; one that can no longer be set is passed over."""
    limits = PROFILES.get(profile or "", default)
    own = {name: most for name, most in (differing or {}).items() if name in SETTABLE}
    return replace(limits, **own)


_WINDOW = re.compile(r"([1-9][0-9]{0,6})([smhd])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def window_seconds(text: str, limits: Limits) -> int | None:
    """The seconds of a window such as "90m", "24h" or "7d"; None where it is not allowed."""
    if limits.window_seconds_range is None:
        return 86_400 if text == "24h" else None
    found = _WINDOW.fullmatch(text)
    if found is None:
        return None
    seconds = int(found[1]) * _UNIT_SECONDS[found[2]]
    least, most = limits.window_seconds_range
    return seconds if least <= seconds <= most else None
