"""A reservation in the form that an in-flight slot keeps: enough to settle or release it without the configuration."""

import msgspec

from gateway.errors import GatewayError
from gateway.quotas.counter import Bounds, Counter, CounterRequest, Reservation
from gateway.quotas.limit import Algorithm, Limit

FORMAT = 1


class _Request(msgspec.Struct, array_like=True, gc=False):
    key: bytes
    algorithm: int
    amount: int
    max: int
    window_us: int
    burst: int
    volatile: bool
    name: str
    meter: str
    bounds: tuple[int, int, int] | None = None


class _Packed(msgspec.Struct, array_like=True, gc=False):
    format: int
    requests: list[_Request]
    tenant: str = ""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)


def pack(requests: tuple[CounterRequest, ...], tenant: str = "") -> bytes:
    """The packed form: about 80 bytes a request; empty for no requests."""
    if not requests:
        return b""
    return _encoder.encode(_Packed(FORMAT, [_pack_request(request) for request in requests], tenant))


def unpack(packed: bytes | memoryview) -> Reservation:
    """The reservation again; its limits know name, meter, maximum and algorithm. Raises ``GatewayError``."""
    if not packed:
        return Reservation((), b"")
    try:
        value = _decoder.decode(packed)
        if value.format != FORMAT:
            raise GatewayError(f"a reservation of format {value.format}; this version reads {FORMAT}")
        return Reservation(tuple(map(_unpack_request, value.requests)), bytes(packed), value.tenant)
    except (msgspec.DecodeError, ValueError) as error:
        raise GatewayError(f"not a packed reservation: {error}") from error


def _pack_request(request: CounterRequest) -> _Request:
    counter, bounds = request.counter, request.counter.bounds
    return _Request(
        counter.key,
        counter.algorithm,
        request.amount,
        counter.max,
        counter.window_us,
        counter.burst,
        counter.volatile,
        counter.limit.name,
        counter.limit.meter,
        (bounds.start_us, bounds.end_us, bounds.next_end_us) if bounds else None,
    )


def _unpack_request(packed: _Request) -> CounterRequest:
    algorithm = Algorithm(packed.algorithm)
    limit = Limit(packed.name, packed.meter, packed.max, None, algorithm, burst=packed.burst)
    bounds = Bounds(*packed.bounds) if packed.bounds else None
    counter = Counter(packed.key, algorithm, packed.max, packed.window_us, packed.burst, bounds, packed.volatile, limit)
    return CounterRequest(counter, packed.amount)
