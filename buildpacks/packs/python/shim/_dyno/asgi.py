"""Answers a wasi:http request with an ASGI 3 app; the lifespan protocol runs once per instance."""

import asyncio
import sys
import traceback

from componentize_py_types import Err
from wit_world.imports.streams import StreamError_Closed

from _dyno import gateway, process
from _dyno.host_http import ClientGone, RequestBody, Response, headers_of, method_of
from _dyno.limits import BODY_READ_BYTES, TURNS_AFTER_RESPONSE
from _dyno.loop import Loop

# The loop and the lifespan of this instance. Made at the first request, never before a snapshot:
# a start-up handler opens connections.
_loop = None
_lifespan = None


class Lifespan:
    """Runs the app's start-up; the shutdown half never runs, as a dyno is stopped from outside."""

    def __init__(self, app, loop):
        self.state = {}
        self._events = asyncio.Queue()
        self._started = loop.create_future()
        self._app = app
        self._task = loop.create_task(self._run())

    async def start(self):
        await self._events.put({"type": "lifespan.startup"})
        await asyncio.wait({self._task, self._started}, return_when=asyncio.FIRST_COMPLETED)
        if self._started.done() and self._started.result() is not None:
            process.crash(f"the app's start-up failed: {self._started.result()}")

    async def _run(self):
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._events.get, self._send)
        except Exception:
            # An app without lifespan raises for the unknown scope; one whose start-up failed says so
            # by a message first.
            if not self._started.done():
                self._started.set_result(None)

    async def _send(self, message):
        if self._started.done():
            return
        if message["type"] == "lifespan.startup.complete":
            self._started.set_result(None)
        elif message["type"] == "lifespan.startup.failed":
            self._started.set_result(message.get("message") or "no message")


class Exchange:
    """`receive` and `send` of one request."""

    def __init__(self, method, request, outparam, loop):
        self.method = method
        self.loop = loop
        self.body = RequestBody(request)
        self.response = Response(outparam)
        self.status = None
        self.headers = None
        self.body_received = False
        self.complete = loop.create_future()

    async def receive(self):
        if not self.body_received:
            data = await self._read()
            if not data:
                self.body_received = True
            return {"type": "http.request", "body": data, "more_body": bool(data)}
        await asyncio.shield(self.complete)
        return {"type": "http.disconnect"}

    async def _read(self):
        while True:
            stream = self.body.open()
            if stream is None:
                return b""
            try:
                data = stream.read(BODY_READ_BYTES)
            except Err as error:
                if isinstance(error.value, StreamError_Closed):
                    self.body.release()
                    return b""
                raise ConnectionResetError("the client went away while it sent the request body") from None
            if data:
                return data
            await self.loop.wait(stream.subscribe())

    async def send(self, message):
        kind = message["type"]
        if kind == "http.response.start":
            if self.status is not None:
                raise RuntimeError("http.response.start was sent twice")
            self.status = message["status"]
            self.headers = [
                (lower, bytes(value))
                for name, value in message.get("headers", ())
                if (lower := bytes(name).decode("latin-1").lower()) not in gateway.HOP_HEADERS
            ]
        elif kind == "http.response.body":
            if self.status is None:
                raise RuntimeError("http.response.body was sent before http.response.start")
            if not self.complete.done():
                await self._send_body(bytes(message.get("body", b"")), message.get("more_body", False))
        else:
            raise RuntimeError(f"a message of type {kind!r} cannot be sent here")

    async def _send_body(self, data, more):
        response = self.response
        if not response.begun:
            has_body = gateway.has_body(self.method, self.status)
            if has_body and not more and not any(name == "content-length" for name, _ in self.headers):
                self.headers.append(("content-length", str(len(data)).encode()))
            response.begin(self.status, self.headers, has_body)
        try:
            offset = 0
            while offset < len(data) and not response.discards:
                count = response.permitted()
                if count:
                    response.put(data[offset : offset + count] if offset or count < len(data) else data)
                    offset += count
                else:
                    await self.loop.wait(response.ready())
        except ClientGone:
            response.abandon()
            self.complete.set_result(None)
            raise OSError("the client closed the connection") from None
        if not more:
            response.finish()
            self.complete.set_result(None)

    def end(self, failed):
        """Closes what the app left open and answers 500 where it answered nothing."""
        response = self.response
        if not response.begun:
            if not failed:
                print("dyno: the ASGI app returned without a response", file=sys.stderr)
            page = gateway.error_page(500)
            headers = [("content-type", b"text/html"), ("content-length", str(len(page)).encode())]
            response.begin(500, headers, self.method != "HEAD")
            response.write(page)
            response.finish()
        elif not self.complete.done():
            response.abandon()
        if not self.complete.done():
            self.complete.set_result(None)
        self.body.release()


def answer(app, request, outparam):
    """Runs the app for one request on this instance's loop."""
    loop = _started_loop(app)
    method = method_of(request)
    scope = gateway.asgi_scope(method, request.path_with_query() or "/", headers_of(request), request.authority)
    scope["state"] = dict(_lifespan.state)
    exchange = Exchange(method, request, outparam, loop)
    failed = False
    try:
        loop.run_until_complete(app(scope, exchange.receive, exchange.send))
    except ClientGone:
        failed = True
    except Exception:
        failed = True
        if not exchange.complete.done() or not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()
    try:
        exchange.end(failed)
    except ClientGone:
        exchange.response.abandon()
    if loop._ready:
        loop.run_ready(TURNS_AFTER_RESPONSE)


def _started_loop(app):
    global _loop, _lifespan
    if _loop is None:
        _loop = Loop()
        asyncio.set_event_loop(_loop)
        _lifespan = Lifespan(app, _loop)
        _loop.run_until_complete(_lifespan.start())
    return _loop
