"""What the plugin `text` can do. Each method has a schema, which is both published and enforced."""

import re, unicodedata

from calls import Fault

TEXT = {"type": "string"}
WORD = re.compile(r"\w+(?:['’.]\w+)*")  # near enough to Unicode's own rules, which need tables
METHODS = {}


def method(params, result, **more):
    """Registers a function of (params, call) under its name, with its docstring, its schemas and what else there is.

    A function that yields is given `streams="out"`; `result` is then the schema of one item.
    """

    def register(function):
        info = {"name": function.__name__, "doc": function.__doc__, "params": params, "result": result}
        METHODS[function.__name__] = (function, info | {"idempotent": True} | more)
        return function

    return register


def record(**properties):
    return {"type": "object", "properties": properties, "required": list(properties)}


@method(TEXT, TEXT)
def revert(text, call):
    """Reverses a text; what is read as one character stays one."""
    return "".join(reversed(clusters(text)))


@method(TEXT, record(graphemes={"type": "integer"}, words={"type": "integer"}, lines={"type": "integer"}))
def count(text, call):
    """Counts the characters, words and lines of a text."""
    lines = text.count("\n") + (text[-1:] not in ("", "\n"))
    return {"graphemes": len(clusters(text)), "words": len(WORD.findall(text)), "lines": lines}


@method(record(text=TEXT, width={"type": "integer", "minimum": 1}), {"type": "array", "items": TEXT})
def wrap(params, call):
    """Breaks a text into lines of at most `width` characters."""
    lines, width = [], params["width"]
    room = 0  # what is left of the last line
    for word in map(clusters, params["text"].split()):
        if len(word) < room:
            lines[-1] += " " + "".join(word)
            room -= 1 + len(word)
            continue
        for start in range(0, len(word), width):  # a word that is longer than a line is broken where it must be
            lines.append("".join(word[start : start + width]))
            room = width - len(word[start : start + width])
    return lines


@method(record(text=TEXT, ms={"type": "integer", "minimum": 0}), TEXT)
def slow_revert(params, call):
    """Reverses a text, but takes `ms` milliseconds for it."""
    parts = clusters(params["text"]) or [""]
    for _ in parts:
        call.pause(params["ms"] / 1000 / len(parts))
    return "".join(reversed(parts))


@method(TEXT, TEXT, streams="out", idempotent=False)
def lines(text, call):
    """Gives the lines of a text one by one."""
    yield from text.splitlines()


def check(value, schema, what="params"):
    """Holds a value against the part of JSON Schema that is used above."""
    if type(value) is not {"string": str, "integer": int, "object": dict}[schema["type"]]:
        raise Fault("bad_params", f"{what} must be of type {schema['type']}")
    if "minimum" in schema and value < schema["minimum"]:
        raise Fault("bad_params", f"{what} must be at least {schema['minimum']}", **{what: value})
    for name, inner in schema.get("properties", {}).items():
        if name not in value:
            raise Fault("bad_params", f"{what} must have {name!r}")
        check(value[name], inner, name)


def clusters(text):
    """Splits a text into what people take for characters.

    Kept together: combining marks and variation selectors with what they follow, emoji with their skin tones, tags
    and joined emoji, pairs of regional indicators (flags), Hangul in single letters (jamo), CR LF. Not covered,
    because the standard library has no tables for it: prepended marks and conjuncts of Indic scripts.
    """
    found, flags = [], 0
    for char in text:
        regional = "\U0001f1e6" <= char <= "\U0001f1ff"
        if found and (joins(found[-1][-1], char) or regional and flags % 2 == 1):
            found[-1] += char
        else:
            found.append(char)
        flags = flags + 1 if regional else 0
    return found


def joins(before, char):
    """Whether a character belongs to the cluster that ends with another one."""
    if before in "\r\n" or char in "\r\n":
        return before + char == "\r\n"
    extends = unicodedata.category(char).startswith("M") or char == "\u200d" or "\U000e0020" <= char <= "\U000e007f"
    skin_tone = "\U0001f3fb" <= char <= "\U0001f3ff"
    joined_emoji = before == "\u200d" and unicodedata.category(char) == "So"
    return extends or skin_tone or joined_emoji or jamo(char) in FOLLOWS.get(jamo(before), "")


FOLLOWS = {"L": "LVAB", "V": "VT", "A": "VT", "T": "T", "B": "T"}  # which part of a syllable may follow which


def jamo(char):
    """The part of a Hangul syllable: a letter L, V or T, a syllable without (A) or with (B) its T, else nothing."""
    if "\uac00" <= char <= "\ud7a3":
        return "A" if (ord(char) - 0xAC00) % 28 == 0 else "B"
    ranges = {"L": "\u1100\u115f\ua960\ua97c", "V": "\u1160\u11a7\ud7b0\ud7c6", "T": "\u11a8\u11ff\ud7cb\ud7fb"}
    for part, (first, last, more, end) in ranges.items():
        if first <= char <= last or more <= char <= end:
            return part
    return "-"
