"""What comes in and what goes out: requests read without trust, errors of the protocol, calls with a deadline."""

import threading, time

import msgpack

DEFAULT_TTL_MS, MAX_TTL_MS = 30_000, 86_400_000
FIELDS = {"method": str, "ttl_ms": int, "id": str, "instance": str, "meta": dict}


class Fault(Exception):
    """An error as it is sent: a code of the protocol, a message for people, data for programs."""

    def __init__(self, code, message, **data):
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({"data": data} if data else {})


def read_request(body):
    """Reads and checks a request; whatever a stranger sent, nothing worse than a Fault comes of it."""
    try:
        # msgpack takes no length on trust and stops at 1024 levels: no need to count the 128 of the protocol.
        request = msgpack.unpackb(body, strict_map_key=False, object_pairs_hook=once_each)
        version = request["v"]
    except Exception as problem:
        raise Fault("bad_message", f"this is no request: {problem!r}") from problem
    if type(version) is not int:
        raise Fault("bad_message", "v must be an integer")
    if version != 1:
        raise Fault("protocol", f"protocol {version} is not spoken here, this is protocol 1")
    if "method" not in request:
        raise Fault("bad_message", "the method is missing")
    for name, kind in FIELDS.items():
        # `type() is`, because isinstance takes True for an integer.
        if name in request and type(request[name]) is not kind:
            raise Fault("bad_message", f"{name} must be of type {kind.__name__}")
    if request.get("ttl_ms", 0) < 0:
        raise Fault("bad_message", "ttl_ms must not be negative")
    return request


def once_each(pairs):
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field stands twice")
    return fields


class Call:
    """A call that runs: since when, until when, and whether somebody stopped it."""

    def __init__(self, request, moved):
        self.id, self.moved, self.began = request.get("id"), moved, time.monotonic()
        self.deadline = self.began + min(request.get("ttl_ms", DEFAULT_TTL_MS), MAX_TTL_MS) / 1000
        self.cancelled = threading.Event()

    def pause(self, seconds=0.0):
        """Waits, but no longer than the caller does. To be called now and then by whatever takes long."""
        if self.cancelled.wait(max(0.0, min(seconds, self.deadline - time.monotonic()))):
            raise Fault("cancelled", "the call was cancelled")
        if time.monotonic() >= self.deadline:
            raise Fault("deadline", "the caller's time is over")
        self.moved()
