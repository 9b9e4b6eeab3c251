"""Bounds of the shim, in one place."""

# Largest piece of a request body asked of the host at once. The host answers with what has
# arrived, so a larger number costs nothing until a body is that fast.
BODY_READ_BYTES = 64 * 1024

# Small response chunks are joined up to this size before they are written: one host call per
# chunk of a template that yields lines would cost more than the copy.
RESPONSE_JOIN_BYTES = 16 * 1024

# Environ names of request headers are remembered; a client that invents names must not grow it.
HEADER_NAMES_REMEMBERED = 512

# Turns of the event loop granted to what an ASGI app left running when its response was complete.
TURNS_AFTER_RESPONSE = 64

# Longest time the event loop looks only at sockets while it also waits for a body or a timer.
MIXED_WAIT_SECONDS = 0.002

# Longest head of a request that an HTTPS client of the app sends.
REQUEST_HEAD_BYTES_MAX = 256 * 1024
