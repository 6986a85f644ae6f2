#!/usr/bin/env python3
"""The plugin `text` in Python: docs/protocol.md, two packages, and no code of plugbus.

A few threads answer calls, each with an NNG context of its own. One more answers surveys, so that no call can hold
up an answer. The main thread waits to be told to leave. What the methods do is in text_methods.py.
"""

import difflib, os, signal, sys, threading, time
from contextlib import suppress

import msgpack, pynng

import text_methods
from calls import Call, Fault, read_request
from streams import Streams

VERSION, MAX_MESSAGE, SP_HEADER = "0.1.0", 16 * 1024 * 1024, 4
CALLS_AT_ONCE = 4
CONTEXTS = CALLS_AT_ONCE + 2  # what is beyond the calls answers `busy` and the built-in methods


class Plugin:
    def __init__(self, name, instance, methods):
        self.name, self.instance, self.methods = name, instance, methods
        self.info = {"version": VERSION, "methods": [info for _, info in methods.values()]}
        self.leave = threading.Event()  # set by SIGTERM and $stop: `draining` from then on
        self.lock = threading.Condition()  # guards what follows
        self.running, self.unanswered = [], 0
        self.counts = {"done": 0, "failed": 0, "beat": 0}
        self.streams = Streams(self.counted)

    def answer_call(self, body):
        try:
            reply = msgpack.packb({"v": 1} | self.dispatch(read_request(body)))
            if len(reply) > MAX_MESSAGE:
                raise Fault("too_large", f"the result has more than {MAX_MESSAGE} bytes")
            return reply
        except Fault as fault:
            return msgpack.packb({"v": 1, "error": fault.error})
        except Exception as problem:  # a method's own mistake costs its caller an error and nobody else anything
            return msgpack.packb({"v": 1, "error": Fault("failed", f"{type(problem).__name__}: {problem}").error})

    def dispatch(self, request):
        name, params = request["method"], request.get("params")
        if request.get("instance", self.instance) != self.instance:
            raise Fault("stale_instance", f"this is instance {self.instance}")
        if name.startswith("$"):
            return {"result": self.builtin(name, params)}
        if name not in self.methods:
            raise self.no_method(name)
        function, info = self.methods[name]
        text_methods.check(params, info["params"])
        result = self.run(function, params, Call(request, self.moved))
        if "streams" in info:
            return {"stream": self.streams.open(result)}
        self.counted("done")
        return {"result": result}

    def builtin(self, name, params):
        self.streams.prune()
        match name:
            case "$ping":
                return None
            case "$info":
                return self.info
            case "$stats":
                return self.load()
            case "$stop":
                return self.leave.set()
            case "$cancel":
                return self.cancel(params)
            case "$next":
                self.moved()
                return self.streams.next(params, lambda item: len(msgpack.packb(item)))
            case "$close":
                return self.streams.close(params)
        raise self.no_method(name)

    def no_method(self, name):
        nearest = difflib.get_close_matches(name, self.methods, cutoff=0.5) or self.methods
        return Fault("no_method", f"there is no method {name!r}; the nearest: {', '.join(nearest)}")

    def run(self, function, params, call):
        with self.lock:
            if self.leave.is_set():
                raise Fault("draining", "this instance is about to exit")
            if len(self.running) >= CALLS_AT_ONCE:
                raise Fault("busy", f"{CALLS_AT_ONCE} calls run already")
            self.running.append(call)
        try:
            call.pause()  # its time may be over before it begins
            result = function(params, call)
            call.pause()
            return result
        except BaseException:
            self.counted("failed")
            raise
        finally:
            with self.lock:
                self.running.remove(call)

    def counted(self, outcome):
        with self.lock:
            self.counts[outcome] += 1
            self.counts["beat"] += 1
            self.lock.notify_all()

    def cancel(self, params):
        text_methods.check(params, text_methods.record(id=text_methods.TEXT))
        with self.lock:
            meant = [call for call in self.running if call.id == params["id"]]
        for call in meant:
            call.cancelled.set()
        return bool(meant)

    def moved(self):
        with self.lock:
            self.counts["beat"] += 1

    def load(self):
        streams = self.streams.prune()
        with self.lock:
            now = time.monotonic()
            since = lambda moments: max(0, int(1000 * (now - min(moments, default=now))))
            ages = {"oldest_ms": since(call.began for call in self.running)}
            ages["overdue_ms"] = since(call.deadline for call in self.running)
            return {"in_flight": len(self.running) + streams, **ages, **self.counts}

    def answer_survey(self, body):
        question = msgpack.unpackb(body)
        if question["v"] != 1:
            raise ValueError("a question of another protocol")
        me = {"v": 1, "round": question["round"], "name": self.name, "instance": self.instance, "pid": os.getpid()}
        me["state"] = "draining" if self.leave.is_set() else "ready"
        return msgpack.packb(me | self.load() | ({"info": self.info} if question["want"] == "info" else {}))

    def serve_calls(self, context):
        with suppress(pynng.Closed):
            while True:
                body = context.recv()
                with self.lock:
                    self.unanswered += 1
                context.send(self.answer_call(body))
                with self.lock:
                    self.unanswered -= 1
                    self.lock.notify_all()

    def serve_surveys(self, socket):
        with suppress(pynng.Closed):
            while True:
                body = socket.recv()
                with suppress(ValueError, KeyError, TypeError):  # what is no question is not answered
                    socket.send(self.answer_survey(body))


class Orphan:
    """Ends the plugin when no supervisor has been connected for a while."""

    def __init__(self, plugin, seconds):
        self.plugin, self.seconds, self.connected, self.timer = plugin, seconds, 0, None
        self.lock = threading.Lock()

    def watch(self, socket):
        socket.add_post_pipe_connect_cb(lambda _: self.count(1))
        socket.add_post_pipe_remove_cb(lambda _: self.count(-1))
        self.count(0)

    def count(self, change):
        with self.lock:
            self.connected += change
            if self.timer:
                self.timer.cancel()
            self.timer = None if self.connected else threading.Timer(self.seconds, self.plugin.leave.set)
            if self.timer:
                self.timer.daemon = True
                self.timer.start()


def main():
    env = os.environ
    if env.get("PLUGBUS_PROTOCOL") != "1":
        sys.exit("text_plugin.py speaks protocol 1 and is started by a supervisor: PLUGBUS_PROTOCOL must be 1")
    plugin = Plugin(env["PLUGBUS_NAME"], env["PLUGBUS_INSTANCE"], text_methods.METHODS)
    signal.signal(signal.SIGTERM, lambda *_: plugin.leave.set())
    calls = pynng.Rep0(listen=env["PLUGBUS_CALL_URL"], recv_max_size=MAX_MESSAGE + SP_HEADER)
    # The supervisor may not be there for a while: NNG tries again by itself.
    surveys = pynng.Respondent0(reconnect_time_min=10, reconnect_time_max=1000)
    if timeout := env.get("PLUGBUS_ORPHAN_TIMEOUT_MS"):
        Orphan(plugin, int(timeout) / 1000).watch(surveys)
    surveys.dial(env["PLUGBUS_SURVEY_URL"], block=False)
    contexts = [calls.new_context() for _ in range(CONTEXTS)]
    for context in contexts:
        threading.Thread(target=plugin.serve_calls, args=(context,), daemon=True).start()
    threading.Thread(target=plugin.serve_surveys, args=(surveys,), daemon=True).start()
    print(f"text {VERSION} takes calls at {env['PLUGBUS_CALL_URL']}", flush=True)
    plugin.leave.wait()
    while plugin.streams.prune():  # those that are open are finished, or left alone for too long
        time.sleep(0.05)
    with plugin.lock:
        plugin.lock.wait_for(lambda: plugin.unanswered == 0)
    calls.close()  # removes the socket file
    os._exit(0)  # at once, for pynng grumbles on stderr when it cleans up contexts of a closed socket


if __name__ == "__main__":
    main()
