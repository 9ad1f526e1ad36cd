"""List prices of hosted models, asked of a process that has loaded the package genai-prices."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from batchyard.places.log import log
from batchyard.wire.money import Price

__all__ = ["ListPrices", "is_hosted"]

_ASKING_SECONDS = 30


class ListPrices:
    """The prices that providers list for what they serve; each is asked for once.

    `urls_of` tells where a model is served. Nothing is known without the extra `prices`, and
    nothing of models that are served at an address without a public name.
    """

    def __init__(self, urls_of: Callable[[str], Sequence[str]]) -> None:
        self._urls_of = urls_of
        self._known: dict[tuple[str, str], Price | None] = {}
        self._there = find_spec("genai_prices") is not None

    def price(self, model: str) -> Price | None:
        """The price of a model; takes a second or two when it is asked for first."""
        for url in self._urls_of(model):
            if not self._there or not is_hosted(url):
                continue
            if (url, model) not in self._known:
                self._known[url, model] = _ask(url, model)
            if (found := self._known[url, model]) is not None:
                return found
        return None


def is_hosted(url: str) -> bool:
    """Whether a URL names a host of the public internet."""
    host = urlsplit(url).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return "." in host and not host.endswith((".local", ".internal", ".lan", ".localhost"))
    return False


def _ask(url: str, model: str) -> Price | None:
    words = [sys.executable, "-m", "batchyard.places.listed_price", url, model]
    try:
        asked = subprocess.run(words, capture_output=True, check=True, timeout=_ASKING_SECONDS)
        return msgspec.json.decode(asked.stdout, type=Price | None)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as fault:
        log.warning("list_price_unknown", model=model, fault=type(fault).__name__)
        return None
