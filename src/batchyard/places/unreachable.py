"""Why there is no connection, or no HTTP on it, for whoever must put it right."""

import socket
import ssl

from batchyard.places.request_head import BaseUrl

__all__ = ["not_http_hint", "why_unreachable"]

# OpenSSL's codes for certificates whose issuer is not among those that are trusted.
_ISSUER_UNKNOWN = (18, 19, 20, 21)
_ANOTHER_CA = (
    " If it is of a CA of your own, name the CA's certificate in the upstream's `ca_file`, or in "
    "the environment as SSL_CERT_FILE."
)


def why_unreachable(error: Exception, url: BaseUrl, seconds: float) -> str:
    """Why there is no connection, in a sentence; it was waited for so many seconds."""
    place = url.authority
    match error:
        case ssl.SSLCertVerificationError():
            advice = _ANOTHER_CA if error.verify_code in _ISSUER_UNKNOWN else ""
            return f"The certificate of {place} was refused: {error.verify_message}.{advice}"
        case ssl.SSLError() if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
            return f"{place} does not speak TLS; its URL may have to begin with http://."
        case ssl.SSLError():
            return f"No TLS connection to {place}: {error.reason or error}."
        case socket.gaierror():
            return f"The name {url.host} could not be resolved: {error.strerror}."
        case TimeoutError():
            return f"No connection to {place} within {seconds:g} seconds."
        case _:
            return f"No connection to {place}: {error}."


def not_http_hint(came: bytes) -> str:
    """What an upstream speaks that does not speak HTTP/1; empty where that is not known."""
    if came[:2] in (b"\x15\x03", b"\x16\x03"):
        return " This is TLS: the URL may have to begin with https://."
    if came[3:5] in (b"\x04\x00", b"\x07\x00") and came[5:9] == b"\0\0\0\0":
        return " This is HTTP/2, which the upstream must be told not to insist on."
    return ""
