"""`batchyard`, and `python -m batchyard`: the command, without a look for garbage at the start."""

import gc
import importlib

__all__ = ["main"]


def main() -> None:
    """Run the command."""
    # A process that has just begun holds no garbage; to look for it at every 700th object, while
    # modules are loaded, would be a tenth of the time until the work begins.
    gc.set_threshold(50_000)
    importlib.import_module("batchyard.cli.main").main()


if __name__ == "__main__":
    main()
