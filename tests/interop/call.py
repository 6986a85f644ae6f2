"""Calls a plugin with pynng: call.py URL METHOD [PARAMS [FIELDS]], the last two in JSON.

Prints the reply as one line of JSON. Knows nothing of plugbus but docs/protocol.md.
"""

import json, sys

import msgpack, pynng


def call(url, method, params="null", fields="{}"):
    request = {"v": 1, "method": method, "params": json.loads(params), "ttl_ms": 5000} | json.loads(fields)
    # A request is sent once: resend_time -1 keeps NNG from sending it again.
    with pynng.Req0(dial=url, resend_time=-1, send_timeout=10_000, recv_timeout=10_000) as socket:
        socket.send(msgpack.packb(request))
        return msgpack.unpackb(socket.recv())


if __name__ == "__main__":
    print(json.dumps(call(*sys.argv[1:]), ensure_ascii=False))
