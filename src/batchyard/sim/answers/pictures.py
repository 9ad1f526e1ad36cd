"""Images, which are small squares of one colour, and videos, which are only announced."""

import struct
import zlib
from base64 import b64encode
from typing import Any

from batchyard.sim.answers.reading import CREATED, Reading, answer_json
from batchyard.sim.chance import mix
from batchyard.sim.texts import input_tokens

__all__ = ["answer_images", "answer_videos"]

_SIDE_PIXELS = 16
_IMAGES_MAX = 10
_IMAGE_TOKENS = 272


def answer_images(reading: Reading) -> tuple[bytes, int]:
    """`n` images as base64 PNG, or as URLs that lead nowhere."""
    count = reading.integer("n", 1, 1, _IMAGES_MAX) or 1
    as_url = reading.fields.get("response_format") == "url"
    read, written = input_tokens(reading.fields["prompt"]), count * _IMAGE_TOKENS
    answer = {
        "created": CREATED,
        "background": "opaque",
        "data": [_image(mix(index, reading.number), as_url) for index in range(count)],
        "output_format": "png",
        "quality": "low",
        "size": "1024x1024",
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"image_tokens": 0, "text_tokens": read},
            "output_tokens": written,
            "output_tokens_details": {"image_tokens": written, "text_tokens": 0},
            "total_tokens": read + written,
        },
    }
    return answer_json(answer), written


def answer_videos(reading: Reading) -> tuple[bytes, int]:
    """A `video` that is complete at once and has no content."""
    answer = {
        "id": f"video_{reading.number:016x}",
        "object": "video",
        "model": reading.text("model", "sim-video"),
        "status": "completed",
        "progress": 100,
        "created_at": CREATED,
        "completed_at": CREATED,
        "expires_at": None,
        "error": None,
        "prompt": reading.text("prompt", ""),
        "remixed_from_video_id": None,
        "seconds": reading.text("seconds", "4"),
        "size": reading.text("size", "720x1280"),
    }
    return answer_json(answer), 0


def _image(number: int, as_url: bool) -> dict[str, Any]:
    if as_url:
        return {"url": f"https://simulated.invalid/{number:016x}.png"}
    return {"b64_json": b64encode(_png(number)).decode()}


def _png(number: int) -> bytes:
    """A square whose colour is the number's last three bytes."""
    row = b"\0" + (number & 0xFFFFFF).to_bytes(3, "big") * _SIDE_PIXELS
    header = struct.pack(">IIBBBBB", _SIDE_PIXELS, _SIDE_PIXELS, 8, 2, 0, 0, 0)
    pixels = zlib.compress(row * _SIDE_PIXELS)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    checked = name + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))
