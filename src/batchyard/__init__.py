"""Batchyard: the OpenAI Batch API for models of your own."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchyard.client import build, tables
    from batchyard.client.campaign import Campaign, IncompleteError, NoCampaignError
    from batchyard.client.files import check, diff, fix, merge, stats
    from batchyard.client.oneliners import (
        classify,
        embed,
        evaluate,
        extract,
        generate,
        translate,
    )
    from batchyard.client.results import Result
    from batchyard.client.rowwise import RowCampaign
    from batchyard.client.settings import Progress, Settings
    from batchyard.client.submit import asubmit, submit

__all__ = [
    "Campaign",
    "IncompleteError",
    "NoCampaignError",
    "Progress",
    "Result",
    "RowCampaign",
    "Settings",
    "__version__",
    "asubmit",
    "build",
    "check",
    "classify",
    "diff",
    "embed",
    "evaluate",
    "extract",
    "fix",
    "generate",
    "merge",
    "stats",
    "submit",
    "tables",
    "translate",
]

__version__ = "0.1.0"

# Where the public names live; each is loaded when it is asked for first.
_HOMES = {
    "Campaign": "client.campaign",
    "IncompleteError": "client.campaign",
    "NoCampaignError": "client.campaign",
    "Progress": "client.settings",
    "Result": "client.results",
    "RowCampaign": "client.rowwise",
    "Settings": "client.settings",
    "asubmit": "client.submit",
    "check": "client.files",
    "classify": "client.oneliners",
    "diff": "client.files",
    "embed": "client.oneliners",
    "evaluate": "client.oneliners",
    "extract": "client.oneliners",
    "fix": "client.files",
    "generate": "client.oneliners",
    "merge": "client.files",
    "stats": "client.files",
    "submit": "client.submit",
    "translate": "client.oneliners",
}
_MODULES = {"build": "client.build", "tables": "client.tables"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"batchyard.{_MODULES[name]}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"batchyard.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'batchyard' has no attribute {name!r}")
