"""Answers a wasi:http request with a WSGI app (PEP 3333)."""

import io
import sys
import traceback

from _dyno import gateway
from _dyno.host_http import ClientGone, RequestBody, Response, headers_of, method_of

_DEFAULTS = {
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_SOFTWARE": "dyno",
    "wsgi.version": (1, 0),
    "wsgi.multithread": False,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    # The body ends where the stream ends, so that chunked uploads work without a length.
    "wsgi.input_terminated": True,
}


class Exchange:
    """One request and its response: `start_response`, `write` and the rules between them."""

    __slots__ = ("method", "response", "status", "headers", "chunks_known")

    def __init__(self, method, response):
        self.method = method
        self.response = response
        self.status = None
        self.headers = None
        self.chunks_known = None

    def start_response(self, status, headers, exc_info=None):
        if exc_info is not None:
            try:
                if self.response.begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status is not None:
            raise AssertionError("start_response was called twice without exc_info")
        self.status = gateway.parse_status(status)
        self.headers = gateway.response_headers(headers)
        return self.write

    def write(self, data):
        if not isinstance(data, bytes):
            data = bytes(data) if isinstance(data, (bytearray, memoryview)) else _not_bytes(data)
        if not self.response.begun:
            self.begin(len(data))
        self.response.write(data)

    def begin(self, first_length):
        if self.status is None:
            raise AssertionError("the app sent a body before it called start_response")
        body = gateway.has_body(self.method, self.status)
        if body and self.chunks_known == 1 and not any(name == "content-length" for name, _ in self.headers):
            self.headers.append(("content-length", str(first_length).encode()))
        self.response.begin(self.status, self.headers, body)

    def send(self, chunks):
        """Sends what the app returned; a chunk of a generator leaves as soon as it is yielded."""
        if isinstance(chunks, (list, tuple)):
            # All of it is there already: one chunk, one length.
            data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if not self.response.begun:
                self.chunks_known = 1
            if data or not self.response.begun:
                self.write(data)
        else:
            try:
                self.chunks_known = len(chunks)
            except Exception:
                self.chunks_known = None
            for data in chunks:
                if data:
                    self.write(data)
            if not self.response.begun:
                self.chunks_known = 1
                self.begin(0)
        self.response.finish()

    def fail(self):
        """The app raised: the log gets the traceback, the client a 500 or a cut connection."""
        traceback.print_exc()
        if self.response.begun:
            self.response.abandon()
            return
        page = gateway.error_page(500)
        headers = [("content-type", b"text/html"), ("content-length", str(len(page)).encode())]
        self.response.begin(500, headers, self.method != "HEAD")
        self.response.write(page)
        self.response.finish()


def _not_bytes(data):
    raise TypeError(f"a WSGI app must yield bytes, not {type(data).__name__}")


def answer(app, request, outparam):
    """Runs the app for one request. Only SystemExit and friends leave: they end the dyno."""
    method = method_of(request)
    env = gateway.environ(
        method, request.path_with_query() or "/", headers_of(request), request.authority, _DEFAULTS
    )
    body = None
    if gateway.may_have_body(method, env):
        body = RequestBody(request)
        env["wsgi.input"] = io.BufferedReader(body, 65536)
    else:
        env["wsgi.input"] = io.BytesIO()
    env["wsgi.errors"] = sys.stderr
    exchange = Exchange(method, Response(outparam))
    chunks = None
    try:
        try:
            chunks = app(env, exchange.start_response)
            exchange.send(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
    except ClientGone:
        exchange.response.abandon()
    except Exception:
        try:
            exchange.fail()
        except ClientGone:
            exchange.response.abandon()
    finally:
        if body is not None:
            body.release()
