"""New ids in the shapes that OpenAI uses, drawn from a source of chance that is passed in."""

from random import Random

__all__ = [
    "KEY_PREFIX",
    "ORGANIZATION",
    "batch_id",
    "file_id",
    "hex32",
    "line_id_prefix",
    "part_id",
    "request_id",
    "upload_id",
]

# A server is one organization.
ORGANIZATION = "org-batchyard"
# How the secret of each key begins that a server makes.
KEY_PREFIX = "by_"

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def hex32(chance: Random) -> str:
    """128 random bits as 32 lower-case hexadecimal digits."""
    return f"{chance.getrandbits(128):032x}"


def file_id(chance: Random) -> str:
    """A file id: `file-` and 22 base-62 characters."""
    return "file-" + "".join(chance.choices(_BASE62, k=22))


def batch_id(chance: Random) -> str:
    """A batch id: `batch_` and 32 hexadecimal digits."""
    return "batch_" + hex32(chance)


def upload_id(chance: Random) -> str:
    """The id of a file that comes in parts: `upload_` and 32 hexadecimal digits."""
    return "upload_" + hex32(chance)


def part_id(chance: Random) -> str:
    """The id of such a part: `part_` and 32 hexadecimal digits."""
    return "part_" + hex32(chance)


def request_id(chance: Random) -> str:
    """An HTTP request id: `req_` and 32 hexadecimal digits."""
    return "req_" + hex32(chance)


def line_id_prefix(chance: Random) -> str:
    """The part that the ids of all result lines of one batch share.

    Eight hexadecimal digits of the line index follow it: an id tells which line it answers.
    """
    return f"batch_req_{chance.getrandbits(96):024x}"
