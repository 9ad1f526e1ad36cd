"""Which path is answered by what, and the switches that change it while it runs."""

from collections.abc import Callable
from functools import partial
from struct import Struct
from typing import TypeVar
from urllib.parse import unquote

from batchyard.places.clock import Clock
from batchyard.rules.endpoints import ENDPOINTS
from batchyard.sim.answers import ANSWERS
from batchyard.sim.answers.reading import CREATED, Reading, read_fields
from batchyard.sim.chance import mix
from batchyard.sim.faults import Faults, Luck
from batchyard.sim.latency import Latency, Pace
from batchyard.sim.ledger import Ledger
from batchyard.sim.messages import Reply, Request
from batchyard.sim.mischief import Mischief
from batchyard.sim.options import DEFAULT_MODELS, SimOptions
from batchyard.sim.texts import Texts
from batchyard.wire.errors import ApiError
from batchyard.wire.objects import Model, to_json

__all__ = ["Site"]

_MODELS = "/v1/models"
_NUMBER = Struct(">Q")


class Site:
    """Answers requests; `ledger` keeps the counts."""

    def __init__(self, options: SimOptions, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        self._models = options.models
        self._seed = options.seed
        # A digest is random enough: that of another seed need only be another number.
        self._salt = mix(options.seed, 0)
        self._texts = Texts(options.seed)
        self._luck = Luck(options.faults, options.seed)
        self._pace = Pace(options.latency)
        self._mischief = Mischief(clock.wall)
        self._asides: dict[tuple[str, str], Callable[[Request], Reply]] = {
            ("GET", _MODELS): self._list_models,
            ("GET", "/health"): lambda _: Reply(b'{"status":"ok","simulated":true}'),
            ("GET", "/metrics"): self._show_metrics,
            ("GET", "/sim/stats"): self._show_stats,
            ("POST", "/sim/faults"): self._set_faults,
            ("POST", "/sim/latency"): self._set_latency,
        }

    def answer(self, request: Request) -> Reply:
        """The reply to any request: an answer, a fault by chance, or a refusal."""
        try:
            if request.head.path in ANSWERS and request.head.method == "POST":
                return self._answer_line(request)
            return self._answer_aside(request)
        except ApiError as error:
            return Reply(error.body(), error.status)

    def _answer_line(self, request: Request) -> Reply:
        number = _NUMBER.unpack_from(request.digest)[0] ^ self._salt
        fault = self._luck.draw(request.head.path, number)
        if fault is None:
            return self._sound(request, number)
        return self._mischief.reply(fault, partial(self._sound, request, number))

    def _sound(self, request: Request, number: int) -> Reply:
        path = request.head.path
        fields = read_fields(request, ENDPOINTS[path].required)
        model = fields.get("model")
        if self._models and model is not None and model not in self._models:
            raise _no_such_model(model)
        body, tokens = ANSWERS[path](Reading(fields, number, self._texts, self._seed))
        delay_seconds = self._pace.delay_seconds(tokens, number, request.arrived)
        return Reply(body, tokens=tokens, delay_seconds=delay_seconds)

    def _answer_aside(self, request: Request) -> Reply:
        method, path = request.head.method, request.head.path
        aside = self._asides.get((method, path))
        if aside is not None:
            return aside(request)
        name = unquote(path.removeprefix(_MODELS + "/"))
        if method == "GET" and path.startswith(_MODELS + "/"):
            if self._models and name not in self._models:
                raise _no_such_model(name)
            return Reply(to_json(_model(name)))
        raise ApiError(404, f"Invalid URL ({method} {path})", code="unknown_url")

    def _list_models(self, request: Request) -> Reply:
        models = [_model(name) for name in self._models or DEFAULT_MODELS]
        # Without names of its own it takes any, which no list could tell.
        rest = {} if self._models else {"any_model": True}
        return Reply(to_json({"object": "list", "data": models, **rest}))

    def _show_metrics(self, request: Request) -> Reply:
        text = self.ledger.metrics().encode()
        return Reply(text, media_type=b"text/plain; version=0.0.4; charset=utf-8")

    def _show_stats(self, request: Request) -> Reply:
        # Whoever has read the counts may read the log: it is complete up to them.
        self.ledger.flush()
        return Reply(to_json(self.ledger.stats()))

    def _set_faults(self, request: Request) -> Reply:
        self._luck = Luck(_parsed(Faults.parse, request), self._seed)
        return Reply(b'{"simulated":true}')

    def _set_latency(self, request: Request) -> Reply:
        self._pace = Pace(_parsed(Latency.parse, request))
        return Reply(b'{"simulated":true}')


_Setting = TypeVar("_Setting")


def _parsed(parse: Callable[[str], _Setting], request: Request) -> _Setting:
    try:
        return parse(request.body.decode("utf-8", "replace"))
    except ValueError as error:
        raise ApiError(400, str(error)) from error


def _model(name: str) -> Model:
    return Model(id=name, created=CREATED, owned_by="simulated")


def _no_such_model(name: object) -> ApiError:
    return ApiError(
        404,
        f"The model `{str(name)[:200]}` does not exist or you do not have access to it.",
        code="model_not_found",
    )
