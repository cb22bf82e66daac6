"""Requests as bytes, conversations that hold one with a server, and the replies as they come."""

import io
import json
import re
import socket

import numpy as np

from features_fast import WARM_UP
from tests.bars import columns
from tests.runtime.conftest import random_rows
from tests.serving import DEADLINE_SECONDS

ROWS = [json.dumps({"features": row.tolist()}).encode() for row in random_rows(20, 22, seed=3)]


def post(body: bytes, *headers: bytes, path: bytes = b"/predict", length: bool = True) -> bytes:
    """Return the bytes of a request."""
    lines = [b"POST %b HTTP/1.1" % path, b"Host: localhost", b"Content-Type: application/json", *headers]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(body: bytes, *sizes: int) -> bytes:
    """Return a body in chunks."""
    parts, start = [], 0
    for size in (*sizes, len(body)):
        part = body[start : start + size]
        start += size
        if part:
            parts.append(b"%x\r\n%b\r\n" % (len(part), part))
    return b"".join(parts) + b"0\r\n\r\n"


def replies(stream: socket.socket, count: int) -> bytes:
    """Read a number of replies, or what comes until the server ends the connection."""
    stream.settimeout(DEADLINE_SECONDS)
    received, parsed = bytearray(), 0
    while count:
        end = received.find(b"\r\n\r\n", parsed)
        if end >= 0:
            head = received[parsed:end]
            length = re.search(rb"(?i)content-length: (\d+)", head)
            end += 4 + (int(length[1]) if length else 0)
            if end <= len(received):
                parsed = end
                count -= not head.startswith(b"HTTP/1.1 100")
                continue
        try:
            data = stream.recv(1 << 20)
        except ConnectionResetError:
            break
        if not data:
            break
        received += data
    return bytes(received)


ROW = ROWS[0]
MATRIX = random_rows(20, 22, seed=3)
MATRIX_FILE = io.BytesIO()
np.save(MATRIX_FILE, MATRIX)
BATCH = json.dumps({"features": MATRIX[:4].tolist()}).encode()


def batch(body: bytes, *headers: bytes, kind: bytes = b"application/json", query: bytes = b"") -> bytes:
    """Return the bytes of a request for a batch."""
    return post(body, *headers, path=b"/predict/batch" + query).replace(b"application/json", kind, 1)


ROUGH_BATCH = json.dumps({"features": [MATRIX[0].tolist(), [1.0], MATRIX[1].tolist(), "row"]}).encode()
NPY, RAW = b"application/x-npy", b"application/octet-stream"
BATCHES = {
    "batch": ([batch(BATCH)], 1),
    "batch of one": ([batch(BATCH.partition(b"]")[0] + b"]]}")], 1),
    "batch in columns": ([batch(json.dumps({"columns": {}}).encode())], 1),
    "batch, reply in columns": ([batch(BATCH, b"Accept: application/json;layout=columns")], 1),
    "batch, reply as .npy": ([batch(BATCH, b"Accept: application/x-npy")], 1),
    "batch, any reply": ([batch(BATCH, b"Accept: text/html, */*;q=0.5")], 1),
    "batch, any reply but JSON": ([batch(BATCH, b"Accept: */*, application/json;q=0")], 1),
    "batch, a reply named in a second line": ([batch(BATCH, b"Accept: text/html", b"Accept: application/x-npy")], 1),
    "batch, no such reply": ([batch(BATCH, b"Accept: text/html")], 1),
    "batch as .npy": ([batch(MATRIX_FILE.getvalue(), kind=NPY)], 1),
    "batch as .npy, too short": ([batch(MATRIX_FILE.getvalue()[:-1], kind=NPY)], 1),
    "batch as .npy, both ways": ([batch(MATRIX_FILE.getvalue(), b"Accept: application/x-npy", kind=NPY)], 1),
    "raw batch": ([batch(MATRIX.tobytes(), kind=RAW)], 1),
    "raw batch with NaN": ([batch(MATRIX[:2].tobytes() + b"\xff" * 88, kind=RAW)], 1),
    "raw batch, half a row": ([batch(MATRIX[:2].tobytes()[:-44], kind=RAW)], 1),
    "batch in Arrow": ([batch(b"rubbish", kind=b"application/vnd.apache.arrow.stream")], 1),
    "batch with bad rows": ([batch(ROUGH_BATCH)], 1),
    "batch with bad rows as .npy": ([batch(ROUGH_BATCH, b"Accept: application/x-npy")], 1),
    "batch that fails": ([batch(ROUGH_BATCH, query=b"?on_error=fail")], 1),
    "batch of bad rows": ([batch(b'{"features":[[1],[2]]}')], 1),
    "batch without rows": ([batch(b'{"features":[]}')], 1),
    "batch with more members": ([batch(BATCH[:-1] + b',"more":1}')], 1),
    "batch that is broken": ([batch(BATCH[:-1])], 1),
    "batch that goes on": ([batch(BATCH + b"]")], 1),
    "empty batch": ([batch(b"")], 1),
    "too many rows": ([batch(np.resize(MATRIX, (46, 22)).tobytes() + b"\0" * 40, kind=RAW)], 1),
    "batch that is too large": ([batch(BATCH + b" " * 4096)], 1),
    "batches, pipelined": ([batch(BATCH) + post(ROW) * 2 + batch(MATRIX.tobytes(), kind=RAW) + post(ROW)], 5),
    "batch behind rows": ([post(ROW) * 3 + batch(BATCH)], 4),
    "batch behind the application": ([b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" + batch(BATCH) + post(ROW)], 3),
    "batch byte by byte": ([bytes([byte]) for byte in batch(MATRIX[:2].tobytes(), kind=RAW)], 1),
    "batch in chunks": (
        [batch(b"", b"Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"") + chunked(BATCH, 9, 90)],
        1,
    ),
    "batch, then close": ([batch(BATCH, b"Connection: close")], 1),
    "batch with an id": ([batch(BATCH, b"X-Request-ID: mine-7")], 1),
    "batch with a deadline": ([batch(BATCH, b"X-Request-Deadline-Ms: 60000")], 1),
    "batch expects 100-continue": ([batch(BATCH, b"Expect: 100-continue")], 1),
    "compressed batch": ([batch(BATCH, b"Content-Encoding: gzip")], 1),
    "batch of no known type": ([batch(BATCH, kind=b"text/csv")], 1),
    "batch with two types": ([batch(BATCH, b"Content-Type: text/csv")], 1),
}

MODEL = b"/v2/models/random_forest/infer"
TENSOR = {"name": "features", "shape": [2, 22], "datatype": "FP32", "data": MATRIX[:2].tolist()}
BINARY = {**TENSOR, "parameters": {"binary_data_size": 176}}
del BINARY["data"]
BINARY_HEAD = json.dumps({"inputs": [BINARY], "id": "mine"}).encode()
ALL_BINARY = json.dumps({"inputs": [BINARY], "parameters": {"binary_data_output": True}}).encode()


def infer(body: bytes, *headers: bytes, path: bytes = MODEL, json_length: int = 0) -> bytes:
    """Return the bytes of a request of the Open Inference Protocol."""
    if json_length:
        headers = (*headers, b"Inference-Header-Content-Length: %d" % json_length)
    whole = post(body, *headers, path=path)
    return whole.replace(b"application/json", b"application/octet-stream", 1) if json_length else whole


def tensor(**changed: object) -> bytes:
    """Return a request of the protocol in JSON."""
    return json.dumps({"inputs": [{**TENSOR, **changed}]}).encode()


INFERENCES = {
    "inference": ([infer(tensor())], 1),
    "inference of integers": ([infer(tensor(datatype="INT64", data=[1] * 44))], 1),
    "inference with an output": ([infer(tensor()[:-1] + b',"outputs":[{"name":"label"}]}')], 1),
    "inference, binary": ([infer(BINARY_HEAD + MATRIX[:2].tobytes(), json_length=len(BINARY_HEAD))], 1),
    "inference, binary both ways": ([infer(ALL_BINARY + MATRIX[:2].tobytes(), json_length=len(ALL_BINARY))], 1),
    "inference, binary and too short": ([infer(BINARY_HEAD + MATRIX[:1].tobytes(), json_length=len(BINARY_HEAD))], 1),
    "inference, a length beyond the body": ([infer(BINARY_HEAD, json_length=9_999)], 1),
    "inference, a length that is none": ([infer(tensor(), b"Inference-Header-Content-Length: x")], 1),
    "inference by another model": ([infer(tensor(), path=b"/v2/models/another/infer")], 1),
    "inference by a version": ([infer(tensor(), path=b"/v2/models/random_forest/versions/none/infer")], 1),
    "inference with a query": ([infer(tensor(), path=MODEL + b"?x=1")], 1),
    "inference of another shape": ([infer(tensor(shape=[1, 22]))], 1),
    "inference of NaN": ([infer(tensor(data=[float("nan")] * 44))], 1),
    "inference that is broken": ([infer(tensor()[:-1])], 1),
    "inferences, pipelined": ([infer(tensor()) + post(ROW) * 2 + batch(BATCH) + infer(b"{}") + post(ROW)], 6),
    "inference, then close": ([infer(tensor(), b"Connection: close", b"X-Request-ID: mine")], 1),
}

HISTORY = {
    name: values if name == "date" else [round(value, 2) for value in values]
    for name, values in columns(0, WARM_UP + 1).items()
}
NEXT = {"open": 100.0, "high": 102.5, "low": 99.0, "close": 101.5, "volume": 5e5, "date": "2026-01-05"}


def bars(document: object, *headers: bytes, query: bytes = b"") -> bytes:
    """Return the bytes of a request with bars."""
    return post(json.dumps(document).encode(), *headers, path=b"/predict/bars" + query)


def symbol(document: object, method: bytes = b"POST", path: bytes = b"/symbols/ABC/bars") -> bytes:
    """Return the bytes of a request for a symbol."""
    body = b"" if document is None else json.dumps(document).encode()
    return post(body, path=path).replace(b"POST", method, 1)


SEED, FORGET = symbol({"bars": HISTORY}, b"PUT"), symbol(None, b"DELETE", b"/symbols/ABC")
BARS = {
    "bars": ([bars({"bars": HISTORY})], 1),
    "bars as rows": ([bars({"bars": [list(row) for row in zip(*HISTORY.values(), strict=True)]})], 1),
    "bars, too few": ([bars({"bars": {name: values[1:] for name, values in HISTORY.items()}})], 1),
    "bars, one impossible": ([bars({"bars": {**HISTORY, "close": [-1.0] * (WARM_UP + 1)}})], 1),
    "bars of tickers": ([bars({"tickers": {"ABC": HISTORY}})], 1),
    "all bars": ([bars({"bars": HISTORY}, query=b"?all=true")], 1),
    "bars of no such form": ([bars([1, 2])], 1),
    "bars, pipelined": ([bars({"bars": HISTORY}) + post(ROW) + batch(BATCH) + bars({}) + post(ROW)], 5),
    "a symbol": (
        [
            SEED,
            symbol({"bar": NEXT}),
            symbol({"bar": NEXT}),
            symbol({"bar": {**NEXT, "date": None}}) + post(ROW),
            FORGET,
        ],
        6,
    ),
    "a symbol's impossible bar": ([SEED, symbol({"bar": {**NEXT, "low": 200.0}}), symbol({"bar": NEXT}), FORGET], 4),
    "a symbol that is not held": ([symbol({"bar": NEXT})], 1),
    "a symbol's escaped name": ([symbol({"bar": NEXT}, path=b"/symbols/A%42C/bars")], 1),
    "a symbol of no such name": ([symbol({"bar": NEXT}, path=b"/symbols/.ABC/bars")], 1),
}

UPGRADE = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c")
TRAILERS = (
    *(b"Host: other", b"X-Request-ID: late", b"Content-Encoding: gzip", b"Content-Type: text/csv"),
    *(b"X-Request-Deadline-Ms: 0", b"Server-Timing: x", b"Authorization: x", b"Expect: 100-continue"),
)
STRANGE_TARGETS = (b"http://x:99999/", b"http:///predict", b"http://[::1/predict")

FIRST, REST = ROW[:13], ROW[ROW.index(b",") : -1]  # of a row, around its first value
NUMBERS = (
    *(
        b"1e999",
        b"-0",
        b"0e0",
        b"1e-999",
        b"1" * 400,
        b"1e39",
        b"3.4028235e38",
        b"3.4028236e38",
        b"7e-46",
        b"01",
        b"+1",
    ),
    *(
        b".5",
        b"5.",
        b"1e",
        b"1E5",
        b"0x10",
        b"-Infinity",
        b"null",
        b"true",
        b'"1"',
        b"[1]",
        b"1_0",
        b"--1",
        b"\xc2\xb21",
    ),
    *(b"18446744073709551616", b"0.%s1e61" % (b"0" * 60), b'"\\ud800"', b'"\xed\xa0\x80"', b'"\x00"', b""),
)
BODIES = (
    *(ROW[:-1] + b"," + ROW[1:], ROW[:-1] + b',"features":[1]}', b'{"features":[1],' + ROW[1:], b"\xef\xbb\xbf" + ROW),
    *(
        ROW.decode().encode("utf-16"),
        ROW + b"\0",
        ROW + b"{}",
        ROW + b" \n",
        b"\t" + ROW,
        b"\x0c" + ROW,
        ROW[:-2] + b",]}",
    ),
    *(
        b"[" * 4000,
        b'{"a":' * 700 + b"1" + b"}" * 700,
        ROW.replace(b"features", b"f\\u0065atures"),
        b"null",
        b'"x"',
        b"[]",
    ),
    *(
        b'{"features":null}',
        b'{"features":{}}',
        b'{"fea\\u0000tures":[]}',
        b'{"\\ud800":1}',
        ROW[:-1] + b',"\xff":1}',
        b"   ",
    ),
)
KINDS = (
    *(b"Application/JSON", b'application/json; charset="utf-8"', b"application/json; charset=latin-1", b"text/json"),
    *(b"application/json;", b"application/json ;charset=UTF-8", b"application/json, text/plain", b"application/jsonx"),
    *(b"", b"\xff", b"APPLICATION/OCTET-STREAM", b"application/x-npy; a=b", b"application/vnd.api+json", b"*/*"),
)
TARGETS = (
    *(
        b"//predict",
        b"/predict//",
        b"/./predict",
        b"/%70redict",
        b"/predict%2f",
        b"/predict%00",
        b"/predict%zz",
        b"/PREDICT",
    ),
    *(
        b"/predict;a=b",
        b"/predict?%00",
        b"/predict?\xc3\xa9",
        b"HTTP://localhost/predict",
        b"http://a:b@c/predict",
        b"*",
    ),
    *(b"/predict/batch?", b"/predict/batch?on_error=", b"/predict/batch?on_error=fail&on_error=entry"),
    *(
        b"/predict/batch?on%5Ferror=%66ail",
        b"/predict/batch?on_error=%ff",
        b"/predict/batch?layout=x&a=b",
        b"/predict%2fbatch",
    ),
    *(
        b"/v2/models//infer",
        b"/v2/models/%00/infer",
        b"/symbols//bars",
        b"/symbols/a%20b/bars",
        b"/symbols/../bars",
        b"/v2/",
    ),
)
PATHS = (
    *(b"/", b"/health", b"/model/info", b"/predict", b"/predict/demo", b"/predict/batch", b"/predict/bars", b"/reload"),
    *(b"/metrics", b"/docs", b"/openapi.json", b"/v2", b"/v2/models/random_forest", MODEL, b"/symbols/A", b"/nowhere"),
)
WISHES = (
    *(b"If-None-Match: *", b"If-Match: x", b"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", b"Range: bytes=0-9"),
    *(
        b"Accept-Encoding: identity;q=0, *;q=0",
        b"Accept-Charset: utf-16",
        b"Accept: \xff",
        b"Accept: ,;",
        b"TE: trailers",
    ),
    *(
        b"traceparent: \xff",
        b"X-Request-ID: \xe9",
        b"X-Request-ID: a\tb",
        b"X: \x80\xff",
        b"Connection: ,,",
        b"Trailer: X",
    ),
    *(
        b"X-Request-Deadline-Ms: 1e9",
        b"X-Request-Deadline-Ms: 9, 9",
        b"X-Request-Deadline-Ms:",
        b"Content-Range: bytes 0-1/2",
    ),
    b"X-Request-Deadline-Ms: x\r\nX-Request-Deadline-Ms: 60000",
    b"X-Request-Deadline-Ms: 60000\r\nX-Request-Deadline-Ms: x",
)
RARE_BODIES = [FIRST + number + REST + b"}" for number in NUMBERS] + list(BODIES)
RARE = {
    "rare JSON": [post(body) for body in RARE_BODIES],
    "rare JSON of batches": [batch(body.replace(b"[", b"[[", 1).replace(b"]", b"]]", 1)) for body in RARE_BODIES],
    "rare JSON of inferences": [infer(tensor().replace(b"[[", b"[[%b, " % number, 1)) for number in NUMBERS],
    "rare JSON elsewhere": [
        post(body, path=path) for body in BODIES for path in (MODEL, b"/predict/bars", b"/symbols/ABC/bars")
    ],
    "rare types": [post(ROW).replace(b"application/json", kind, 1) for kind in KINDS],
    "rare types of batches": [batch(BATCH, kind=kind) for kind in KINDS],
    "rare targets": [post(body, path=path) for path in TARGETS for body in (ROW, BATCH)],
    "rare wishes": [post(ROW, wish) for wish in WISHES],
    "rare wishes of batches": [batch(BATCH, wish) for wish in WISHES],
    "every route, all but asked": [
        post(ROW, path=path).replace(b"POST", method, 1)
        for path in PATHS
        for method in (b"OPTIONS", b"PUT", b"DELETE", b"PATCH", b"TRACE")
    ],
}

CONVERSATIONS = {
    **BATCHES,
    **INFERENCES,
    **BARS,
    **{name: (requests, len(requests)) for name, requests in RARE.items()},
    **{
        f"HEAD {path.decode()}": ([post(ROW, b"Connection: close", path=path).replace(b"POST", b"HEAD", 1)], 1)
        for path in PATHS
        if path not in (b"/metrics", b"/model/info", b"/docs")  # which are as long as the server has to tell
    },
    "plain": ([post(ROW)], 1),
    "one after the other": ([post(row) for row in ROWS], 20),
    "pipelined": ([b"".join(post(row) for row in ROWS)], 20),
    "pipelined with other routes": (
        [post(ROW) + b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" + post(ROWS[1]) + post(b"{}") + post(ROWS[2])],
        5,
    ),
    "pipelined behind a batch": (
        [batch(BATCH, query=b"?on_error=entry") + post(ROW) * 3],
        4,
    ),
    "byte by byte": ([bytes([byte]) for byte in post(ROW)], 1),
    "body apart": ([post(ROW)[: -len(ROW)], ROW], 1),
    "chunked": ([post(b"", b"Transfer-Encoding: chunked", length=False) + chunked(ROW, 1, 10, 100)], 1),
    "chunked in pieces": (
        [post(b"", b"Transfer-Encoding: chunked", length=False), chunked(ROW, 7)[:20], chunked(ROW, 7)[20:]],
        1,
    ),
    "chunked and too large": (
        [post(b"", b"Transfer-Encoding: chunked", length=False) + chunked(ROW + b" " * 5000, 3000)],
        1,
    ),
    "expect 100-continue": ([post(ROW, b"Expect: 100-continue")], 1),
    "connection close": ([post(ROW, b"Connection: close")], 1),
    "close, then more": ([post(ROW, b"Connection: close") + post(ROW)], 2),
    "keep-alive": ([post(ROW, b"Connection: keep-alive")], 1),
    "HTTP/1.0": ([post(ROW).replace(b"HTTP/1.1", b"HTTP/1.0")], 1),
    "HTTP/1.0 keep-alive": ([post(ROW, b"Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0")], 1),
    "HTTP/2 preface": ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 1),
    "upgrade": ([post(ROW, b"Connection: Upgrade", b"Upgrade: websocket")], 1),
    "upgrades, pipelined": ([post(ROW, *UPGRADE) * 3 + batch(BATCH, *UPGRADE) + post(ROW)], 5),
    "an upgrade in chunks": (
        [post(b"", b"Transfer-Encoding: chunked", *UPGRADE, length=False), chunked(ROW, 9, 90) + post(ROW)],
        2,
    ),
    "an upgrade with a wrong body": ([post(b"{}", *UPGRADE) + post(ROW)], 2),
    "an upgrade without a body": (
        [b"GET /health/live HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % b"\r\n".join(UPGRADE) + post(ROW)],
        2,
    ),
    "CONNECT": ([post(ROW).replace(b"POST", b"CONNECT") + post(ROW)], 1),
    "CONNECT a host": ([post(ROW).replace(b"POST /predict", b"CONNECT x:80")], 1),
    **{
        f"target {target.decode()}": (
            [post(ROW) + bars({"bars": HISTORY}, query=b"?all=true") + post(b"", path=target)],
            3,
        )
        for target in STRANGE_TARGETS
    },
    "a target that is none": ([post(ROW, b"X-Request-ID: mine", path=STRANGE_TARGETS[0])], 1),
    "header names in capitals": ([post(ROW).replace(b"Content-Type", b"CONTENT-TYPE")], 1),
    "charset": ([post(ROW).replace(b"application/json", b"application/json; charset=utf-8")], 1),
    "another charset": ([post(ROW).replace(b"application/json", b'application/json; charset="ascii"')], 1),
    "no content type": ([post(ROW).replace(b"Content-Type: application/json\r\n", b"")], 1),
    "wrong content type": ([post(ROW).replace(b"application/json", b"text/plain")], 1),
    "two content types": ([post(ROW, b"Content-Type: text/plain")], 1),
    "compressed": ([post(ROW, b"Content-Encoding: gzip")], 1),
    "compressed, in a line of its own": ([post(ROW, b"Content-Encoding: identity", b"Content-Encoding: gzip")], 1),
    "not compressed, in capitals": ([post(ROW, b"Content-Encoding: IDENTITY, identity")], 1),
    "not compressed, it says": ([post(ROW, b"Content-Encoding: identity")], 1),
    "query": ([post(ROW, path=b"/predict?x=1")], 1),
    "fragment": ([post(ROW, path=b"/predict#x")], 1),
    "escaped path": ([post(ROW, path=b"/predic%74")], 1),
    "trailing slash": ([post(ROW, path=b"/predict/")], 1),
    "absolute form": ([post(ROW, path=b"http://localhost/predict")], 1),
    "no such method here": ([post(ROW, path=b"/health").replace(b"POST", b"OPTIONS")], 1),
    "GET": ([post(ROW).replace(b"POST", b"GET")], 1),
    "empty body": ([post(b"")], 1),
    "no length": ([post(b"", length=False)], 1),
    "broken JSON": ([post(ROW[:-1])], 1),
    "NaN": ([post(b'{"features":[NaN]}')], 1),
    "too large": ([post(ROW + b" " * 5000)], 1),
    "two lengths": ([post(ROW, b"Content-Length: 5")], 1),
    "length and chunked": ([post(ROW, b"Transfer-Encoding: chunked")], 1),
    "trailers": (
        [
            post(b"", b"Transfer-Encoding: chunked", length=False) + chunked(body)[:-2] + b"%b\r\n\r\n" % trailer
            for body in (ROW, b"{}")
            for trailer in TRAILERS
        ],
        2 * len(TRAILERS),
    ),
    "bad chunk": ([post(b"", b"Transfer-Encoding: chunked", length=False) + b"zz\r\n"], 1),
    "two ids": ([post(ROW, b"X-Request-ID: one", b"X-Request-ID: two") + batch(BATCH, b"X-Request-ID: three")], 2),
    "a length of thousands of digits": ([post(ROW).replace(b"Length: ", b"Length: " + b"0" * 5000)], 1),
    "a batch's length of thousands of digits": ([batch(BATCH).replace(b"Length: ", b"Length: " + b"0" * 5000)], 1),
    "negative length": ([post(b"").replace(b"Length: 0", b"Length: -1")], 1),
    "folded header": ([post(ROW, b"X-A: 1\r\n  2")], 1),
    "space before the colon": ([post(ROW, b"X-A : 1")], 1),
    "no HTTP": ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20], 1),
    "empty lines first": ([b"\r\n\r\n" + post(ROW)], 1),
    "many headers": ([post(ROW, *(b"X-%d: %d" % (i, i) for i in range(80)))], 1),
}
