"""Requests and responses of wasi:http as plain Python values and calls.

Each call into the host costs a few microseconds and a handle, so that a request without a body
makes eleven of them and nothing is asked for twice.
"""

import io

from componentize_py_types import Err, Ok
from wit_world.imports import wasi_http_types as http
from wit_world.imports.streams import StreamError_Closed

from _dyno.limits import BODY_READ_BYTES

_METHODS = {
    http.Method_Get: "GET",
    http.Method_Head: "HEAD",
    http.Method_Post: "POST",
    http.Method_Put: "PUT",
    http.Method_Delete: "DELETE",
    http.Method_Connect: "CONNECT",
    http.Method_Options: "OPTIONS",
    http.Method_Trace: "TRACE",
    http.Method_Patch: "PATCH",
}


class ClientGone(Exception):
    """The client closed the connection; nobody reads the rest of the response."""


def method_of(request):
    method = request.method()
    return _METHODS.get(type(method)) or method.value


def headers_of(request):
    """The request's headers in order, as (lower-case name, bytes)."""
    return request.headers().entries()


class RequestBody(io.RawIOBase):
    """The body of a request as a raw stream; nothing is taken from the host before the first read."""

    def __init__(self, request):
        self._request = request
        self._body = self._stream = None
        self._ended = False

    def readable(self):
        return True

    def open(self):
        """The host's input stream, or None after the end."""
        if self._stream is None and not self._ended:
            self._body = self._request.consume()
            self._stream = self._body.stream()
        return self._stream

    def readinto(self, buffer):
        stream = self.open()
        wanted = min(len(buffer), BODY_READ_BYTES)
        if stream is None or not wanted:
            return 0
        data = b""
        while not data:
            try:
                data = stream.blocking_read(wanted)
            except Err as error:
                if isinstance(error.value, StreamError_Closed):
                    self.release()
                    return 0
                raise ConnectionResetError("the client went away while it sent the request body") from None
        count = len(data)
        buffer[:count] = data
        return count

    def release(self):
        """Gives the host's handles back; the stream is a child of the body and goes first."""
        self._ended = True
        if self._stream is not None:
            self._stream.__exit__(None, None, None)
            self._stream = None
        if self._body is not None:
            self._body.__exit__(None, None, None)
            self._body = None


class Response:
    """The one response of a request: `begin`, any number of `write`, then `finish` or `abandon`."""

    def __init__(self, outparam):
        self._outparam = outparam
        self._body = self._stream = None
        self.begun = False

    def begin(self, status, headers, has_body):
        """Sends status and headers. Without `has_body` (HEAD, 204, 304) `write` discards."""
        response = http.OutgoingResponse(http.Fields.from_list(headers))
        if status != 200:
            response.set_status_code(status)
        if has_body:
            self._body = response.body()
        self.begun = True
        http.ResponseOutparam.set(self._outparam, Ok(response))
        if has_body:
            self._stream = self._body.write()

    def permitted(self):
        """How many bytes the host takes now; 0 means wait."""
        try:
            return self._stream.check_write()
        except Err:
            raise ClientGone from None

    def put(self, data):
        """Hands over bytes that `permitted` allowed."""
        try:
            self._stream.write(data)
        except Err:
            raise ClientGone from None

    def ready(self):
        """A pollable that wakes when the host takes more; the caller drops it."""
        return self._stream.subscribe()

    @property
    def discards(self):
        return self._stream is None

    def write(self, data):
        """Writes all of `data`, waiting where the client is slow."""
        if self._stream is None:
            return
        offset, total = 0, len(data)
        while offset < total:
            count = self.permitted()
            if count == 0:
                pollable = self.ready()
                pollable.block()
                pollable.__exit__(None, None, None)
            elif offset == 0 and count >= total:
                self.put(data)
                return
            else:
                self.put(data[offset : offset + count])
                offset += count

    def finish(self):
        """Ends the response well."""
        if self._stream is None:
            return
        self._stream.__exit__(None, None, None)
        self._stream = None
        body, self._body = self._body, None
        try:
            http.OutgoingBody.finish(body, None)
        except Err as error:
            raise ValueError(f"the response body does not have the length of its Content-Length: {error.value}") from None

    def abandon(self):
        """Ends the response so that the client sees that it is incomplete."""
        if self._stream is not None:
            self._stream.__exit__(None, None, None)
            self._stream = None
        if self._body is not None:
            self._body.__exit__(None, None, None)
            self._body = None
