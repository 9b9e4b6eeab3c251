"""An ordinary Flask app: one route for each thing that web apps do."""

import os
import random
import sys
import time
import uuid
from pathlib import Path

from flask import Flask, Response, jsonify, redirect, render_template, request, session, url_for

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "for development only")

# Read once while the app is imported, as settings usually are.
GREETING = os.environ.get("GREETING", "Hello")

LARGE_BYTES_MAX = 256 * 1024 * 1024
CHUNK = b"a" * 65536


def text(body, status=200):
    return Response(body, status=status, mimetype="text/plain")


@app.get("/")
def index():
    print("somebody opened the guest book")
    return render_template("index.html", greeting=GREETING, name=session.get("name"))


@app.post("/name")
def name():
    session["name"] = request.form["name"]
    return redirect(url_for("index"))


@app.get("/hello")
def hello():
    return text(f"Hello, {request.args.get('name', 'World')}!")


@app.post("/echo")
def echo():
    return Response(request.get_data(), content_type=request.content_type or "application/octet-stream")


@app.get("/cookies")
def cookies():
    visits = request.cookies.get("visits", 0, type=int) + 1
    response = text(f"visits={visits}")
    response.set_cookie("visits", str(visits), httponly=True)
    return response


@app.get("/large")
def large():
    """Streams: no more than one chunk is in memory, however many bytes are asked for."""
    size = min(max(request.args.get("bytes", 0, type=int), 0), LARGE_BYTES_MAX)

    def chunks():
        for left in range(size, 0, -len(CHUNK)):
            yield CHUNK[:left]

    return Response(chunks(), mimetype="text/plain", headers={"Content-Length": str(size)})


@app.get("/file")
def file():
    """Reads a data file of the app while the request runs."""
    return text(Path(app.root_path, "data", "proverbs.txt").read_text("utf-8"))


@app.get("/lazy")
def lazy():
    """Imports a part of the standard library that nothing else here uses."""
    import colorsys

    return jsonify(hls=colorsys.rgb_to_hls(0.2, 0.4, 0.6))


@app.get("/environment")
def environment():
    value = os.environ.get(request.args.get("name", ""))
    return text("", 404) if value is None else text(value)


@app.get("/random")
def random_values():
    return jsonify(uuid=str(uuid.uuid4()), random=random.random(), time=time.time())


@app.get("/error")
def error():
    raise RuntimeError("this route always fails")


@app.get("/crash")
def crash():
    print("leaving with status 1", file=sys.stderr, flush=True)
    os._exit(1)
