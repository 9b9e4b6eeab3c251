"""Lets HTTP clients that speak TLS through `ssl` use the host's HTTPS client instead.

This CPython has no TLS. What http.client, urllib3 and httpcore write to the socket that `wrap_socket`
gives them is an HTTP/1.1 request, so that socket reads the request, asks `wasi:http/outgoing-handler`
for the same, and shows the answer as HTTP/1.1. The host checks certificates by its own roots.
"""

import errno
import io
import ipaddress
import socket
from http import HTTPStatus

from componentize_py_types import Err
from wit_world.imports import monotonic_clock, outgoing_handler, poll
from wit_world.imports import wasi_http_types as http
from wit_world.imports.streams import StreamError_Closed

from _dyno.limits import BODY_READ_BYTES, REQUEST_HEAD_BYTES_MAX

SCHEME = http.Scheme_Https()
METHODS = {
    b"GET": http.Method_Get, b"HEAD": http.Method_Head, b"POST": http.Method_Post, b"PUT": http.Method_Put,
    b"DELETE": http.Method_Delete, b"OPTIONS": http.Method_Options, b"PATCH": http.Method_Patch,
}
# They belong to the connection, which is the host's.
DROPPED = frozenset(
    (b"host", b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te", b"expect")
)


class NotHttp(OSError):
    """The first bytes are no HTTP request: some other protocol over TLS, which is not available."""


def parse_head(head):
    """Method, target and (lower-case name, value) pairs of a request head."""
    first, *lines = head.split(b"\r\n")
    parts = first.split(b" ")
    if len(parts) != 3 or parts[0] not in METHODS or not parts[2].startswith(b"HTTP/1."):
        raise NotHttp(errno.EPROTO, "not an HTTP/1.1 request")
    pairs = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise NotHttp(errno.EPROTO, "not an HTTP header")
        pairs.append((name.strip().lower(), value.strip()))
    return parts[0], parts[1].decode("latin-1"), pairs


def unchunk(data):
    """The content of a chunked body that is complete."""
    out = bytearray()
    while True:
        line, found, data = data.partition(b"\r\n")
        if not found:
            raise OSError(errno.EPROTO, "the chunked request body is cut off")
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            return bytes(out)
        out += data[:size]
        data = data[size + 2 :]


def authority_of(name, port):
    """The authority of a URL for a name or an address, without the port that HTTPS has anyway."""
    host = f"[{name}]" if ":" in name else name
    return host if port == 443 else f"{host}:{port}"


def is_address(name):
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def wait(pollable, timeout):
    """Blocks until `pollable` is ready; TimeoutError after `timeout` seconds."""
    try:
        if timeout is None:
            pollable.block()
            return
        timer = monotonic_clock.subscribe_duration(max(0, int(timeout * 1e9)))
        try:
            if 0 not in poll.poll([pollable, timer]):
                raise TimeoutError("timed out")
        finally:
            timer.__exit__(None, None, None)
    finally:
        pollable.__exit__(None, None, None)


class Exchange(io.RawIOBase):
    """One request and its response; reading it gives the bytes of the response."""

    def __init__(self, authority):
        self._authority = authority
        self._pending = bytearray()
        self._outgoing = self._sink = self._future = None
        self._chunked = False
        self._answer = b""
        self._incoming = self._source = self._response = None
        self._asked = self._ended = False
        self.timeout = None

    def readable(self):
        return True

    def feed(self, data):
        """Takes bytes that the client sends."""
        if self._asked:
            raise OSError(errno.EPIPE, "the request was complete: its answer is being read")
        self._pending += data
        if self._future is None:
            end = self._pending.find(b"\r\n\r\n")
            if end < 0:
                if len(self._pending) > REQUEST_HEAD_BYTES_MAX or self._pending[:1] in (b"\x00", b"\x16"):
                    raise NotHttp(errno.EPROTO, "not an HTTP/1.1 request")
                return
            head = bytes(self._pending[:end])
            del self._pending[: end + 4]
            self._begin(*parse_head(head))
        if not self._chunked and self._pending:
            self._write(bytes(self._pending))
            self._pending.clear()

    def _begin(self, method, target, pairs):
        for name, value in pairs:
            if name == b"host":
                self._authority = value.decode("latin-1")
            elif name == b"transfer-encoding":
                self._chunked = True
        kept = [(name.decode("latin-1"), value) for name, value in pairs if name not in DROPPED]
        request = http.OutgoingRequest(http.Fields.from_list(kept))
        request.set_method(METHODS[method]())
        request.set_scheme(SCHEME)
        request.set_authority(self._authority)
        request.set_path_with_query(target)
        self._outgoing = request.body()
        self._sink = self._outgoing.write()
        try:
            self._future = outgoing_handler.handle(request, None)
        except Err as error:
            raise OSError(errno.ECONNREFUSED, f"the host refused the request: {error.value}") from None

    def _write(self, data):
        offset = 0
        while offset < len(data):
            try:
                count = self._sink.check_write()
                if count:
                    self._sink.write(data[offset : offset + count])
            except Err:
                # The server may have answered already; the answer tells.
                return
            if count:
                offset += count
            else:
                wait(self._sink.subscribe(), self.timeout)

    def _ask(self):
        """Ends the request and waits for the head of the response."""
        self._asked = True
        if self._future is None:
            self._ended = True
            return
        if self._chunked:
            self._write(unchunk(bytes(self._pending)))
        self._sink.__exit__(None, None, None)
        try:
            http.OutgoingBody.finish(self._outgoing, None)
        except Err as error:
            raise OSError(errno.EPROTO, f"the request body is not as long as its Content-Length: {error.value}") from None
        self._outgoing = self._sink = None
        result = self._future.get()
        while result is None:
            wait(self._future.subscribe(), self.timeout)
            result = self._future.get()
        result = result.value
        if isinstance(result, Err):
            raise ConnectionError(errno.ECONNABORTED, f"the host's HTTPS client failed: {result.value}")
        self._response = result.value
        status = self._response.status()
        phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
        lines = [f"HTTP/1.1 {status} {phrase}".encode("latin-1")]
        for name, value in self._response.headers().entries():
            if name.encode("latin-1") not in DROPPED:
                lines.append(name.encode("latin-1") + b": " + value)
        self._answer = b"\r\n".join([*lines, b"connection: close", b"", b""])
        self._incoming = self._response.consume()
        self._source = self._incoming.stream()

    def readinto(self, buffer):
        if not self._asked:
            self._ask()
        while not self._answer and not self._ended:
            try:
                self._answer = self._source.read(BODY_READ_BYTES)
                if not self._answer:
                    wait(self._source.subscribe(), self.timeout)
            except Err as error:
                self.release()
                if not isinstance(error.value, StreamError_Closed):
                    raise ConnectionResetError(errno.ECONNRESET, "the response was cut off") from None
        count = min(len(buffer), len(self._answer))
        buffer[:count] = self._answer[:count]
        self._answer = self._answer[count:]
        return count

    def release(self):
        """Gives the host's handles back, children first."""
        self._ended = self._asked = True
        for name in ("_source", "_incoming", "_response", "_sink", "_outgoing", "_future"):
            handle = getattr(self, name)
            setattr(self, name, None)
            if handle is not None:
                handle.__exit__(None, None, None)

    def close(self):
        if not self.closed:
            self.release()
        super().close()


class Socket:
    """What `wrap_socket` gives: enough of a socket for HTTP clients. It serves one request."""

    def __init__(self, plain, server_hostname, refused):
        port = plain.getpeername()[1]
        self._timeout = plain.gettimeout()
        plain.close()
        name = self._name = server_hostname or "localhost"
        self._name_kind = "IP Address" if is_address(name) else "DNS"
        self._exchange = Exchange(authority_of(name, port))
        self._exchange.timeout = self._timeout
        self._refused = refused
        self._readers = 0

    def sendall(self, data, flags=0):
        try:
            self._exchange.feed(bytes(data))
        except NotHttp:
            raise self._refused() from None

    def send(self, data, flags=0):
        self.sendall(data)
        return len(data)

    def recv(self, size, flags=0):
        return self._exchange.read(size)

    def recv_into(self, buffer, size=0, flags=0):
        return self._exchange.readinto(memoryview(buffer)[: size or None])

    def makefile(self, mode="r", buffering=None, **_options):
        if "w" in mode:
            raise io.UnsupportedOperation("only reading")
        self._readers += 1
        return io.BufferedReader(self._exchange)

    def settimeout(self, timeout):
        self._timeout = self._exchange.timeout = timeout

    def gettimeout(self):
        return self._timeout

    def setblocking(self, blocking):
        self.settimeout(None if blocking else 0)

    def setsockopt(self, *_arguments):
        return None

    def fileno(self):
        return -1

    def getpeercert(self, binary_form=False):
        """Names the server and nothing else: the host checks the real certificate for this name."""
        return b"" if binary_form else {"subjectAltName": ((self._name_kind, self._name),)}

    def selected_alpn_protocol(self):
        return "http/1.1"

    def version(self):
        return "TLSv1.3"

    def cipher(self):
        return None

    def do_handshake(self):
        return None

    def shutdown(self, how=socket.SHUT_RDWR):
        return None

    def unwrap(self):
        raise OSError(errno.ENOTSUP, "TLS is the host's and cannot be taken off")

    def close(self):
        # A reader made by makefile outlives its socket, as with real ones.
        if not self._readers:
            self._exchange.close()

    def __enter__(self):
        return self

    def __exit__(self, *_arguments):
        self.close()
