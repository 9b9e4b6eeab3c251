"""What WSGI and ASGI say about a request and a response, without any host: pure functions."""

from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from _dyno.limits import HEADER_NAMES_REMEMBERED

# A response may not carry these: they belong to the connection, which is the platform's.
HOP_HEADERS = frozenset(
    "connection keep-alive proxy-authenticate proxy-connection te trailer transfer-encoding upgrade http2-settings".split()
)

BODILESS_STATUS = frozenset((204, 304))

_PHRASES = {status.value: status.phrase for status in HTTPStatus}

_environ_names = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


def environ_name(header):
    """`x-request-id` → `HTTP_X_REQUEST_ID`; names with an underscore are dropped (None).

    A client could otherwise forge `X-Forwarded-For` as `X_Forwarded_For`: both become one key.
    """
    name = _environ_names.get(header)
    if name is None:
        if "_" in header:
            return None
        name = "HTTP_" + header.upper().replace("-", "_")
        if len(_environ_names) < HEADER_NAMES_REMEMBERED:
            _environ_names[header] = name
    return name


def split_target(target):
    """Path and query of a request target, both still percent-encoded."""
    if target.startswith("http://") or target.startswith("https://"):
        _, _, rest = target.partition("://")
        slash = rest.find("/")
        target = rest[slash:] if slash >= 0 else "/"
    path, _, query = target.partition("?")
    return path or "/", query


def unquote_path(path):
    """The decoded path as WSGI wants it: bytes seen as Latin-1."""
    return unquote_to_bytes(path).decode("latin-1") if "%" in path else path


def first_address(forwarded):
    """The client's address: the router appends the peer it saw, so the last entry is the true one."""
    return forwarded.rpartition(",")[2].strip()


def host_and_port(authority, scheme):
    """Server name and port of a Host value; an IPv6 literal keeps its brackets out."""
    default = "443" if scheme == "https" else "80"
    if authority.startswith("["):
        host, _, rest = authority[1:].partition("]")
        return host, rest[1:] or default
    host, _, port = authority.partition(":")
    return host or "localhost", port or default


def environ(method, target, headers, authority, defaults):
    """The CGI part of a WSGI environ; `headers` are (lower-case name, bytes) in order."""
    path, query = split_target(target)
    env = dict(defaults)
    env["REQUEST_METHOD"] = method
    env["SCRIPT_NAME"] = ""
    env["PATH_INFO"] = unquote_path(path)
    env["QUERY_STRING"] = query
    env["RAW_URI"] = env["REQUEST_URI"] = target
    for header, value in headers:
        name = environ_name(header)
        if name is None:
            continue
        text = value.decode("latin-1")
        if name in env:
            if name == "HTTP_HOST" or name.startswith("CONTENT_"):
                continue
            text = env[name] + ("; " if name == "HTTP_COOKIE" else ",") + text
        env[name] = text
    host = env.get("HTTP_HOST")
    if host is None:
        host = env["HTTP_HOST"] = authority() or "localhost"
    forwarded = env.get("HTTP_X_FORWARDED_PROTO", "")
    scheme = env["wsgi.url_scheme"] = "https" if forwarded.rpartition(",")[2].strip() == "https" else "http"
    env["SERVER_NAME"], env["SERVER_PORT"] = host_and_port(host, scheme)
    env["REMOTE_ADDR"] = first_address(env.get("HTTP_X_FORWARDED_FOR", "")) or "127.0.0.1"
    return env


def may_have_body(method, env):
    """Whether a body can follow: HTTP/2 requests may have one without saying a length."""
    length = env.get("CONTENT_LENGTH")
    if length is not None:
        return length.strip() != "0"
    return "HTTP_TRANSFER_ENCODING" in env or method not in ("GET", "HEAD", "OPTIONS", "DELETE", "TRACE")


def parse_status(status):
    """The number of a WSGI status line such as `200 OK`."""
    if not isinstance(status, str):
        raise TypeError(f"the status must be a string such as '200 OK', not {status!r}")
    number = status[:3]
    if not (number.isdigit() and len(number) == 3 and status[3:4] in ("", " ")):
        raise ValueError(f"not an HTTP status: {status!r}")
    return int(number)


def response_headers(pairs):
    """A WSGI header list as wasi:http takes it, without what belongs to the connection."""
    out = []
    for name, value in pairs:
        lower = name.lower()
        if lower not in HOP_HEADERS:
            if "\n" in value or "\r" in value:
                raise ValueError(f"the response header {name!r} contains a line break")
            out.append((lower, value.encode("latin-1")))
    return out


def has_body(method, status):
    return method != "HEAD" and status not in BODILESS_STATUS and status >= 200


def error_page(status):
    """A small page, as gunicorn sends one when the app raises."""
    title = _PHRASES.get(status, "Error")
    return (
        f"<html>\n  <head>\n    <title>{title}</title>\n  </head>\n"
        f"  <body>\n    <h1><p>{title}</p></h1>\n  </body>\n</html>\n"
    ).encode()


def asgi_scope(method, target, headers, authority, http_version="1.1"):
    """The `http` connection scope of ASGI 3; header names are lower-case bytes."""
    path, query = split_target(target)
    raw = path.encode("latin-1", "replace")
    pairs = [(name.encode("latin-1"), value) for name, value in headers]
    seen = dict(headers)
    host = seen.get("host")
    if host is None:
        host = (authority() or "localhost").encode("latin-1")
        pairs.append((b"host", host))
    forwarded = seen.get("x-forwarded-proto", b"").decode("latin-1")
    scheme = "https" if forwarded.rpartition(",")[2].strip() == "https" else "http"
    name, port = host_and_port(host.decode("latin-1"), scheme)
    client = first_address(seen.get("x-forwarded-for", b"").decode("latin-1")) or "127.0.0.1"
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": http_version,
        "method": method,
        "scheme": scheme,
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": raw,
        "query_string": query.encode("latin-1", "replace"),
        "root_path": "",
        "headers": pairs,
        "server": (name, int(port) if port.isdigit() else None),
        "client": (client, 0),
        "extensions": {},
    }
