"""What a key can be made for; every route names one."""

from typing import Literal, get_args

__all__ = ["SCOPES", "ScopeName"]

# Uploads are files that are written.
ScopeName = Literal[
    "api.files.read",
    "api.files.write",
    "api.batches.read",
    "api.batches.write",
    "api.model.read",
    "api.webhooks.read",
    "api.webhooks.write",
    "api.usage.read",
    "api.limits.read",
    "api.limits.write",
]
SCOPES: tuple[ScopeName, ...] = get_args(ScopeName)
