"""Streams: what a method yields, asked for batch by batch.

Nothing runs between two questions: `$next` itself drives the generator, so a caller that does not ask holds it back.
"""

import secrets, threading, time

from calls import Fault

MOST, ITEMS, BYTES, KEEP_MS = 16, 1024, 64 * 1024, 60_000


class Streams:
    """The open streams by their ids. `counted` is told how each of them has ended: `done` or `failed`."""

    def __init__(self, counted):
        self.lock, self.counted, self.known = threading.Lock(), counted, {}

    def open(self, items):
        with self.lock:
            over = [stream.id for stream in self.known.values() if not stream.is_open]
            if len(self.known) - len(over) >= MOST:
                raise Fault("busy", f"{MOST} streams are open already")
            for ended in over[:-MOST]:
                del self.known[ended]
            stream = Stream(items)
            self.known[stream.id] = stream
        return {"id": stream.id}

    def next(self, params, size):
        stream = self.known.get(text(params, "stream"))
        if stream is None:
            raise Fault("bad_params", "there is no such stream here")
        with stream.lock:
            batch = stream.next(params, size)
        if stream.outcome:
            self.count(stream, "failed" if "error" in stream.outcome else "done")
        return batch

    def close(self, params, outcome="done"):
        with self.lock:
            stream = self.known.pop(text(params, "stream"), None)
        return stream is not None and self.count(stream, outcome)

    def count(self, stream, outcome):
        """Counts it once; whether it was open until now."""
        with self.lock:
            was_open, stream.is_open = stream.is_open, False
        if was_open:
            self.counted(outcome)
        return was_open

    def prune(self):
        """Drops those that were left alone for too long, and says how many are open."""
        now = time.monotonic()
        for stream in [stream for stream in list(self.known.values()) if stream.idle_at <= now]:
            self.close({"stream": stream.id}, "failed")
        return sum(stream.is_open for stream in list(self.known.values()))


class Stream:
    """One of them: the batch that was sent last is kept, in case its reply was lost."""

    def __init__(self, items):
        self.id, self.items, self.lock = secrets.token_hex(16), iter(items), threading.Lock()
        self.first, self.last, self.outcome, self.is_open = 0, [], {}, True
        self.keep(KEEP_MS)

    def keep(self, ms):
        self.kept_ms, self.idle_at = ms, time.monotonic() + ms / 1000

    def next(self, params, size):
        following = self.first + len(self.last)
        wanted = number(params, "from", following)
        if wanted == following:
            self.first, self.last = following, self.take(number(params, "max", ITEMS), number(params, "bytes", BYTES), size)
        elif wanted != self.first:
            raise Fault("bad_params", f"item {following} is next, and none before it")
        self.keep(number(params, "keep_ms", self.kept_ms))
        return {"from": self.first, "items": self.last} | self.outcome

    def take(self, most, most_bytes, size):
        taken, length = [], 0
        while len(taken) < min(most, ITEMS) and length < most_bytes and not self.outcome:
            try:
                taken.append(next(self.items))
                length += size(taken[-1])
            except StopIteration:
                self.outcome = {"end": True}
            except Fault as fault:
                self.outcome = {"error": fault.error}
            except Exception as problem:
                self.outcome = {"error": Fault("failed", f"{type(problem).__name__}: {problem}").error}
        return taken


def text(params, name):
    if type(params) is not dict or type(params.get(name)) is not str:
        raise Fault("bad_params", f"{name} must be a text")
    return params[name]


def number(params, name, default):
    value = params.get(name, default)
    if type(value) is not int or value < 0:
        raise Fault("bad_params", f"{name} must be a number, and not negative")
    return value
