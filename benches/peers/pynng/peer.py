"""REQ and REP of pynng: NNG from Python. Caller and, as `peer.py plugin URL`, plugin."""

import subprocess
import sys
import tempfile
import time

import pynng

TEXT = b"Live on time, emit no evil"


def plugin(url):
    with pynng.Rep0(listen=url) as replier:
        print("ready", flush=True)
        while True:
            replier.send(replier.recv().decode()[::-1].encode())


def caller(warm, counted):
    with tempfile.TemporaryDirectory() as directory:
        url = f"ipc://{directory}/socket"
        process = subprocess.Popen([sys.executable, __file__, "plugin", url], stdout=subprocess.PIPE)
        process.stdout.readline()
        try:
            with pynng.Req0(dial=url) as requester:
                print("ns", *timed(requester, warm, counted))
        finally:
            process.kill()
            process.wait()


def timed(requester, warm, counted):
    for nth in range(warm + counted):
        start = time.perf_counter_ns()
        requester.send(TEXT)
        reply = requester.recv()
        took = time.perf_counter_ns() - start
        assert len(reply) == len(TEXT)
        if nth >= warm:
            yield took


if sys.argv[1] == "plugin":
    plugin(sys.argv[2])
else:
    caller(int(sys.argv[2]), int(sys.argv[3]))
