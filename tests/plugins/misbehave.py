"""A plugin that misbehaves, for the tests: MISBEHAVE says how, in words with spaces between.

It speaks protocol 1 by hand, sockets and MessagePack included, so that no code of ours can hide a drift of the
wire. Everything happens in one loop: a method that takes long also keeps it from answering surveys. It runs on
any Python 3, without packages.

Moods:
  exit=N            exits at once with code N
  exit-when-ready=N exits with code N when it is asked again after it has told, twice, that it is ready
  die=BYTES         prints these bytes (Python escapes), flushes, and kills itself with SIGKILL
  mute              never answers a survey
  starting          is starting for ever
  ready-after=TIME  is starting for that many seconds
  trace             prints where it is at when it gets SIGUSR1
  as=NAME           answers as whatever instance the plugin NAME has at the moment
  garbage           answers surveys with bytes that are no answer
  twice             answers each survey twice
  ignore-term       ignores SIGTERM
  child             leaves a child in its process group that holds its output open
  daemon            leaves a child in a session of its own that holds its output open for ten seconds
  tree=SECONDS      leaves three generations behind, each in a session of its own, the last without environment
  orphan            leaves a grandchild that exits soon, and that nobody here waits for
  flood             prints lines as fast as it can, and counts them
  close-output      closes stdout and stderr
  exclusive=FILE    holds a lock on FILE while it lives; writes to FILE.twice where somebody else holds it

Methods: echo, note (adds a line to the file it is given), note_and_hang (the same, and never replies),
reply_and_die (kills itself right after its reply), spin (never returns: no replies, no answers), printed (lines of the
flood so far).
"""

import faulthandler, fcntl, os, pathlib, select, signal, socket, struct, subprocess, sys, threading, time

MOODS = dict(word.partition("=")[::2] for word in os.environ.get("MISBEHAVE", "").split())
NAME, INSTANCE = os.environ["PLUGBUS_NAME"], os.environ["PLUGBUS_INSTANCE"]
METHODS = ["echo", "note", "note_and_hang", "reply_and_die", "spin", "printed"]
REPLIER, RESPONDENT = 0x31, 0x63
READY_AT = time.monotonic() + float(MOODS.get("ready-after", 0))
printed = told = 0


# MessagePack, as much of it as the protocol needs.

def pack(value):
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return struct.pack(">Bq", 0xD3, value)
    if isinstance(value, str):
        return struct.pack(">BI", 0xDB, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return struct.pack(">BI", 0xDD, len(value)) + b"".join(map(pack, value))
    return struct.pack(">BI", 0xDF, len(value)) + b"".join(pack(item) for pair in value.items() for item in pair)


def unpack(body):
    def take(count):
        nonlocal at
        at += count
        return body[at - count : at]

    def number(form):
        return struct.unpack(">" + form, take(struct.calcsize(form)))[0]

    def table(count):
        return {value(): value() for _ in range(count)}

    def value():
        kind = number("B")
        if kind <= 0x7F:
            return kind
        if kind <= 0x8F:
            return table(kind & 15)
        if kind <= 0x9F:
            return [value() for _ in range(kind & 15)]
        if kind <= 0xBF:
            return take(kind & 31).decode()
        if kind >= 0xE0:
            return kind - 256
        if kind in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[kind]
        if 0xCA <= kind <= 0xD3:
            return number("fdBHIQbhiq"[kind - 0xCA])
        if 0xD9 <= kind <= 0xDB:
            return take(number("BHI"[kind - 0xD9])).decode()
        if 0xC4 <= kind <= 0xC6:
            return take(number("BHI"[kind - 0xC4]))
        if kind in (0xDC, 0xDD):
            return [value() for _ in range(number("HI"[kind - 0xDC]))]
        if kind in (0xDE, 0xDF):
            return table(number("HI"[kind - 0xDE]))
        raise ValueError(f"a byte {kind:#x}")

    at = 0
    return value()


class Connection:
    """One connection: a greeting of 8 bytes each way, then frames."""

    def __init__(self, stream, role):
        self.stream, self.buffer, self.greeted = stream, b"", False
        stream.sendall(struct.pack(">4sHxx", b"\0SP\0", role))

    def bodies(self):
        """The messages that have come whole; raises EOFError at the end of the connection."""
        received = self.stream.recv(65536)
        if not received:
            raise EOFError
        self.buffer += received
        if not self.greeted and len(self.buffer) >= 8:
            self.greeted, self.buffer = True, self.buffer[8:]
        while self.greeted and len(self.buffer) >= 9:
            end = 9 + struct.unpack(">Q", self.buffer[1:9])[0]
            if len(self.buffer) < end:
                return
            frame, self.buffer = self.buffer[9:end], self.buffer[end:]
            ids = 4
            while not frame[ids - 4] & 0x80:
                ids += 4
            yield frame[:ids], frame[ids:]

    def send(self, ids, body):
        self.stream.sendall(struct.pack(">BQ", 1, len(ids + body)) + ids + body)


def instance_of(name):
    """The newest instance of that plugin, by its socket; its card may be gone for what it did not answer."""
    sockets = sorted(pathlib.Path(os.environ["PLUGBUS_BUS_DIR"]).glob(name + ".*.ipc"), key=os.path.getmtime)
    return sockets[-1].name.split(".")[1] if sockets else "nobody"


def answer(connection, ids, body):
    global told
    question = unpack(body)
    if "mute" in MOODS:
        return
    # Not right after an answer: that would be lost with the connection.
    if "exit-when-ready" in MOODS and told == 2:
        leave(int(MOODS["exit-when-ready"]))
    if "garbage" in MOODS:
        for junk in b"", b"\xc1", os.urandom(200), pack("no answer"), pack([1] * 9):
            connection.send(ids, junk)
        return
    name = MOODS.get("as", NAME)
    answer = {
        "v": 1, "round": question["round"], "name": name, "pid": os.getpid(),
        "instance": instance_of(name) if "as" in MOODS else INSTANCE,
        "state": "starting" if "starting" in MOODS or time.monotonic() < READY_AT else "ready",
    }
    if question["want"] == "info":
        answer["info"] = {"version": "6.6.6", "methods": [{"name": method} for method in METHODS]}
    for _ in range(2 if "twice" in MOODS else 1):
        connection.send(ids, pack(answer))
    told += 1


def note(path):
    with open(path, "a") as file:
        file.write(INSTANCE + "\n")


def serve(connection, ids, body):
    request = unpack(body)
    method, params = request["method"], request.get("params")
    if method == "spin":
        while True:
            pass
    if method in ("note", "note_and_hang"):
        note(params)
    if method == "note_and_hang":
        return
    if method == "reply_and_die":
        connection.send(ids, pack({"v": 1, "result": params}))
        os.kill(os.getpid(), signal.SIGKILL)
    results = {"echo": lambda: params, "note": lambda: INSTANCE, "printed": lambda: printed}
    reply = {"v": 1, "error": {"code": "no_method", "message": "no such method"}}
    if method in results:
        reply = {"v": 1, "result": results[method]()}
    connection.send(ids, pack(reply))


def leave(code):
    print(f"leaving with {code}", file=sys.stderr, flush=True)
    os._exit(code)


def flood():
    global printed
    line = b"x" * 79 + b"\n"
    while True:
        os.write(1, line * 100)
        printed += 100


def begin():
    if "exclusive" in MOODS:
        lock = os.open(MOODS["exclusive"], os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(MOODS["exclusive"] + ".twice")
    if "exit" in MOODS:
        leave(int(MOODS["exit"]))
    if "die" in MOODS:
        os.write(1, MOODS["die"].encode().decode("unicode_escape").encode("latin-1"))
        os.kill(os.getpid(), signal.SIGKILL)
    if "ignore-term" in MOODS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "trace" in MOODS:
        faulthandler.register(signal.SIGUSR1)
    if "child" in MOODS:
        subprocess.Popen(["sleep", "1000"])
    if "daemon" in MOODS:
        subprocess.Popen(["sleep", "10"], start_new_session=True)
    if "tree" in MOODS:
        sleep = "sleep " + MOODS["tree"]
        subprocess.Popen(["sh", "-c", f"setsid sh -c 'setsid sh -c \"setsid env -i {sleep} & {sleep}\" & {sleep}' & {sleep}"])
    if "orphan" in MOODS:
        subprocess.run(["sh", "-c", "setsid sleep 0.1 & setsid sleep 0.2 &"])
    if "flood" in MOODS:
        threading.Thread(target=flood, daemon=True).start()
    if "close-output" in MOODS:
        os.close(1), os.close(2)


def dial(path):
    try:
        survey = socket.socket(socket.AF_UNIX)
        survey.connect(path)
        return Connection(survey, RESPONDENT)
    except OSError:
        return None


def main():
    path = lambda variable: os.environ[variable].removeprefix("ipc://")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path("PLUGBUS_CALL_URL"))
    listener.listen(64)
    begin()
    callers, survey = {}, None
    while True:
        survey = survey or dial(path("PLUGBUS_SURVEY_URL"))
        streams = {survey.stream: survey} if survey else {}
        streams |= callers
        # The pause between two attempts to find the supervisor again.
        readable, _, _ = select.select([listener, *streams], [], [], None if survey else 0.02)
        for stream in readable:
            if stream is listener:
                caller, _ = listener.accept()
                try:
                    callers[caller] = Connection(caller, REPLIER)
                except OSError:
                    # It has left already.
                    caller.close()
                continue
            connection = streams[stream]
            try:
                for ids, body in connection.bodies():
                    (answer if connection is survey else serve)(connection, ids, body)
            except (EOFError, OSError):
                stream.close()
                callers.pop(stream, None)
                if connection is survey:
                    survey = None


main()
