"""A campaign as a process of its own, which is there to be killed."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from batchyard.client.campaigns.campaign import Campaign
from batchyard.client.campaigns.settings import Settings
from batchyard.places.faults import reach_from


def main(folder: Path) -> None:
    """Begin the campaign in a folder, or go on with it, to its end; with its memory in `status`."""
    settings = msgspec.json.decode((folder / "settings.json").read_bytes(), type=Settings)
    source, reach = folder / "in.jsonl", reach_from(os.environ)
    place = os.environ.get("CAMPAIGN_AT", folder / "c")
    Campaign.prepare(place, source, settings, "key", reach=reach).run()
    with suppress(OSError):
        # What it took, as far as this system tells.
        (folder / "status").write_bytes(Path("/proc/self/status").read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
