"""A small guest book: what an ordinary Flask app does, one route each."""

import os
import random
import time
import uuid

from flask import Flask, Response, abort, jsonify, redirect, render_template, request, session, url_for

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "for development only")

# Read once while the app is imported, as settings usually are.
GREETING = os.environ.get("GREETING", "Hello")


@app.get("/")
def index():
    return render_template("index.html", greeting=GREETING, name=session.get("name"))


@app.get("/api/time")
def api_time():
    return jsonify(unix=time.time(), query=request.args.to_dict(), client=request.remote_addr)


@app.post("/echo")
def echo():
    return Response(request.get_data(), mimetype=request.mimetype or "application/octet-stream")


@app.post("/name")
def name():
    session["name"] = request.form["name"]
    return redirect(url_for("index"))


@app.get("/stream")
def stream():
    count = min(request.args.get("count", 5, type=int), 10_000)
    return Response((f"line {number}\n" for number in range(count)), mimetype="text/plain")


@app.get("/large")
def large():
    size = min(request.args.get("bytes", 5_000_000, type=int), 50_000_000)
    block = b"0123456789abcdef" * 4096
    whole, rest = divmod(size, len(block))

    def blocks():
        for _ in range(whole):
            yield block
        yield block[:rest]

    return Response(blocks(), mimetype="application/octet-stream", headers={"Content-Length": str(size)})


@app.get("/env/<variable>")
def env(variable):
    return jsonify(at_import=GREETING, now=os.environ.get(variable))


@app.get("/random")
def random_values():
    return jsonify(random=random.random(), uuid=str(uuid.uuid4()), dyno=os.environ.get("DYNO"))


@app.get("/error")
def error():
    raise RuntimeError("this route always fails")


@app.get("/missing")
def missing():
    abort(404)


@app.get("/crash")
def crash():
    os._exit(1)
