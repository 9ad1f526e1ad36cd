"""Why there is no connection, in the words of whoever must put it right."""

import socket
import ssl

from batchyard.places.request_head import BaseUrl

__all__ = ["why_unreachable"]


def why_unreachable(error: Exception, url: BaseUrl, seconds: float) -> str:
    """Why there is no connection, in a sentence; it was waited for so many seconds."""
    place = url.authority
    match error:
        case ssl.SSLCertVerificationError():
            return f"The certificate of {place} was refused: {error.verify_message}."
        case ssl.SSLError():
            return f"No TLS connection to {place}: {error.reason or error}."
        case socket.gaierror():
            return f"The name {url.host} could not be resolved: {error.strerror}."
        case TimeoutError():
            return f"No connection to {place} within {seconds:g} seconds."
        case _:
            return f"No connection to {place}: {error}."
