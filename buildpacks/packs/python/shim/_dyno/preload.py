"""The part of the standard library that nearly every web app imports, loaded once into the base.

Modules that are not named here are imported from the mounted standard library when an app wants
them; naming one only saves the time to compile it at each release.
"""

import importlib

NAMES = """
    abc argparse ast asyncio asyncio.base_events asyncio.selector_events base64 bisect calendar
    cgitb code codecs collections.abc concurrent.futures configparser contextlib contextvars copy
    csv dataclasses datetime decimal difflib dis email email.header email.message email.mime.multipart
    email.mime.text email.parser email.policy email.utils enum errno fnmatch fractions functools
    getpass gettext glob graphlib gzip hashlib heapq hmac html html.entities html.parser http
    http.client http.cookiejar http.cookies http.server importlib.metadata importlib.resources
    importlib.util inspect io ipaddress itertools json keyword linecache locale logging
    logging.config logging.handlers mimetypes numbers opcode operator optparse os pathlib pickle
    pkgutil platform posixpath pprint queue quopri random re reprlib runpy sched secrets select
    selectors shlex shutil signal socket socketserver sqlite3 stat statistics string string.templatelib struct
    subprocess sysconfig tempfile textwrap threading time timeit tokenize tomllib traceback types
    typing unicodedata unittest unittest.mock urllib.error urllib.parse urllib.request urllib.response uuid
    warnings wave weakref wsgiref.handlers wsgiref.simple_server xml.etree.ElementTree
    xml.parsers.expat xml.sax.saxutils zipfile zlib zoneinfo
    encodings.idna encodings.latin_1 encodings.ascii encodings.utf_8 encodings.utf_8_sig encodings.cp1252
    encodings.punycode encodings.hex_codec encodings.base64_codec encodings.unicode_escape
    encodings.raw_unicode_escape encodings.utf_16 encodings.utf_32
""".split()


def modules():
    """Imports them; one that this CPython lacks is no error."""
    for name in NAMES:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
