"""Batchyard: the OpenAI Batch API for models of your own."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchyard.client import tables
    from batchyard.client.building import build
    from batchyard.client.campaigns.campaign import Campaign, IncompleteError, NoCampaignError
    from batchyard.client.campaigns.checked import MissingCheckError, unchecked
    from batchyard.client.campaigns.settings import Progress, Settings
    from batchyard.client.campaigns.submit import asubmit, submit
    from batchyard.client.files import check, diff, fix, merge, stats
    from batchyard.client.results import scorers
    from batchyard.client.results.results import Result
    from batchyard.client.tabular.evaluating import evaluate
    from batchyard.client.tabular.oneliners import (
        classify,
        embed,
        extract,
        generate,
        translate,
    )
    from batchyard.client.tabular.rowwise import RowCampaign

__all__ = [
    "Campaign",
    "IncompleteError",
    "MissingCheckError",
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
    "scorers",
    "stats",
    "submit",
    "tables",
    "translate",
    "unchecked",
]

__version__ = "0.1.0"

# Where the public names live; each is loaded when it is asked for first.
_HOMES = {
    "Campaign": "client.campaigns.campaign",
    "IncompleteError": "client.campaigns.campaign",
    "MissingCheckError": "client.campaigns.checked",
    "NoCampaignError": "client.campaigns.campaign",
    "Progress": "client.campaigns.settings",
    "Result": "client.results.results",
    "RowCampaign": "client.tabular.rowwise",
    "Settings": "client.campaigns.settings",
    "asubmit": "client.campaigns.submit",
    "check": "client.files",
    "classify": "client.tabular.oneliners",
    "diff": "client.files",
    "embed": "client.tabular.oneliners",
    "evaluate": "client.tabular.evaluating",
    "extract": "client.tabular.oneliners",
    "fix": "client.files",
    "generate": "client.tabular.oneliners",
    "merge": "client.files",
    "stats": "client.files",
    "submit": "client.campaigns.submit",
    "translate": "client.tabular.oneliners",
    "unchecked": "client.campaigns.checked",
}
_MODULES = {
    "build": "client.building.build",
    "scorers": "client.results.scorers",
    "tables": "client.tables",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"batchyard.{_MODULES[name]}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"batchyard.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'batchyard' has no attribute {name!r}")
