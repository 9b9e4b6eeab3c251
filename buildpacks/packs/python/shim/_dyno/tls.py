"""Stands in for the `ssl` module, which this CPython is built without.

The names exist, so that urllib3, requests, pg8000 and redis import, and a context can be made and set
up. HTTPS goes through the host's client (`https.py`); any other protocol over TLS raises an error
that says what to do.
"""

import types
import warnings

from _dyno import https

REFUSED = (
    "TLS sockets are not available in a dyno except for HTTPS clients: connect to add-ons without TLS "
    "(their endpoints are private to the host)"
)

ERROR_NAMES = (
    "SSLWantReadError SSLWantWriteError SSLSyscallError SSLEOFError "
    "SSLZeroReturnError SSLCertVerificationError"
)
OBJECT_NAMES = "SSLSocket SSLObject MemoryBIO SSLSession"
ENUM_PREFIXES = ("OP_", "PROTOCOL_", "CERT_", "VERIFY_", "ALERT_DESCRIPTION_", "SSL_ERROR_", "HAS_")


class SSLError(OSError):
    """As in the real module; also what every attempt to open TLS raises here."""

    reason = library = None


def refuse(*_arguments, **_options):
    raise SSLError(REFUSED)


class SSLContext:
    """Accepts every setting and opens nothing."""

    def __init__(self, protocol=None, *_arguments, **_options):
        self.protocol = protocol
        self.check_hostname = False
        self.verify_mode = self.verify_flags = self.options = 0
        self.minimum_version = self.maximum_version = 0
        self.post_handshake_auth = False
        self.keylog_filename = None
        self.sni_callback = None

    def _accept(self, *_arguments, **_options):
        return None

    load_default_certs = load_verify_locations = load_cert_chain = _accept
    set_default_verify_paths = set_ciphers = set_alpn_protocols = set_npn_protocols = _accept
    load_dh_params = set_ecdh_curve = _accept

    def get_ca_certs(self, binary_form=False):
        return []

    def cert_store_stats(self):
        return {"x509": 0, "crl": 0, "x509_ca": 0}

    def wrap_socket(self, sock, *_arguments, server_hostname=None, **_options):
        return https.Socket(sock, server_hostname, lambda: SSLError(REFUSED))

    wrap_bio = refuse


class _Version(int):
    """A value of `TLSVersion` and friends, whatever its name."""

    @property
    def name(self):
        return str(int(self))


class _Versions:
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Version(0)

    def __call__(self, value=0):
        return _Version(0)

    def __iter__(self):
        return iter(())


def module():
    """Builds the module; the standard library's `ssl.py` would fail before it defined a name."""
    # urllib3 tells every app that this is no OpenSSL, which is known.
    warnings.filterwarnings("ignore", message="urllib3 v2 only supports OpenSSL")
    made = types.ModuleType("ssl", __doc__)
    made.SSLError = made.socket_error = SSLError
    for name in ERROR_NAMES.split():
        setattr(made, name, type(name, (SSLError,), {}))
    made.CertificateError = made.SSLCertVerificationError
    for name in OBJECT_NAMES.split():
        setattr(made, name, type(name, (), {"__init__": refuse}))
    made.SSLContext = SSLContext

    def create_default_context(*_arguments, **_options):
        context = SSLContext()
        context.check_hostname, context.verify_mode = True, made.CERT_REQUIRED
        return context

    made.create_default_context = create_default_context
    made._create_default_https_context = create_default_context
    made._create_unverified_context = made._create_stdlib_context = lambda *_a, **_o: SSLContext()
    made.wrap_socket = made.get_server_certificate = refuse
    made.match_hostname = refuse
    made.Purpose = types.SimpleNamespace(SERVER_AUTH="server", CLIENT_AUTH="client")
    made.TLSVersion = made.Options = made.VerifyMode = made.VerifyFlags = made.AlertDescription = _Versions()
    made.CERT_NONE, made.CERT_OPTIONAL, made.CERT_REQUIRED = 0, 1, 2
    made.PROTOCOL_TLS, made.PROTOCOL_TLS_CLIENT, made.PROTOCOL_TLS_SERVER = 2, 16, 17
    made.OPENSSL_VERSION = "none (WebAssembly)"
    made.OPENSSL_VERSION_INFO, made.OPENSSL_VERSION_NUMBER = (0, 0, 0, 0, 0), 0
    made.HAS_SNI = made.HAS_ALPN = made.HAS_NPN = made.HAS_ECDH = False
    made.HAS_TLSv1_2 = made.HAS_TLSv1_3 = made.HAS_NEVER_CHECK_COMMON_NAME = False
    made.RAND_status = lambda: True
    made.get_default_verify_paths = lambda: types.SimpleNamespace(
        cafile=None, capath=None, openssl_cafile_env="SSL_CERT_FILE", openssl_cafile="",
        openssl_capath_env="SSL_CERT_DIR", openssl_capath="",
    )

    def missing(name):
        if name.startswith(ENUM_PREFIXES):
            return 0
        raise AttributeError(f"module 'ssl' has no attribute {name!r} (WebAssembly stand-in)")

    made.__getattr__ = missing
    return made
