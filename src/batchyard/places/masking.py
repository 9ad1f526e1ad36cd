"""Takes the secrets of our own requests out of what an upstream says, which may echo them."""

import re
from collections.abc import Mapping

from batchyard.places.answer import Answer, Fault

__all__ = ["Mask"]

_MASK = b"***"
# A shorter one could be any word, which an answer then would lack.
_SECRET_BYTES_MIN = 8
# Headers that are set to be seen.
_PLAIN = re.compile(
    "accept.*|user-agent|referer|http-referer|x-title|content-.*|.*-version|.*-beta|"
    "openai-(organization|project)"
)
_SHOWN_BYTES_MAX = 80
_LOOKED_AT_BYTES_MAX = 4_096


class Mask:
    """The values of request headers that nobody but the upstream may see."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        secrets: set[bytes] = set()
        for name, value in headers.items():
            if not _PLAIN.fullmatch(name.lower()):
                whole = value.strip().encode("latin-1", "replace")
                # The scheme of an `authorization` is no secret, and may be left out of an echo.
                secrets |= {whole, whole.partition(b" ")[2].strip() or whole}
        secrets = {one for one in secrets if len(one) >= _SECRET_BYTES_MIN}
        # Some write JSON with an escape for each slash.
        secrets |= {one.replace(b"/", b"\\/") for one in secrets}
        # The longest first: one may be a part of another.
        self._secrets = sorted(secrets, key=len, reverse=True)

    def bytes_of(self, text: bytes) -> bytes:
        """The text with asterisks in the place of each secret."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, _MASK)
        return text

    def answer(self, answer: Answer) -> Answer:
        """The answer without secrets in its headers and its body."""
        if not self._secrets:
            return answer
        headers = [(self.bytes_of(name), self.bytes_of(value)) for name, value in answer.headers]
        return Answer(answer.status, headers, self.bytes_of(answer.body))

    def fault(self, fault: Fault) -> Fault:
        """The fault without secrets in its detail."""
        if not self._secrets:
            return fault
        detail = self.bytes_of(fault.detail.encode("utf-8", "replace")).decode("utf-8", "replace")
        return Fault(fault.code, detail, fault.sent, fault.status)

    def excerpt(self, data: bytes) -> str:
        """How something begins, for a message: in ASCII, with escapes, and without secrets."""
        text = self.bytes_of(data[:_LOOKED_AT_BYTES_MAX])
        for secret in self._secrets:
            # The rest of one may not have come yet.
            for size in range(min(len(secret) - 1, len(text)), _SECRET_BYTES_MIN // 2, -1):
                if text.endswith(secret[:size]):
                    text = text[:-size] + _MASK
                    break
        shown = text[:_SHOWN_BYTES_MAX].decode("latin-1").encode("unicode_escape").decode()
        return shown + ("..." if len(text) > _SHOWN_BYTES_MAX else "")
