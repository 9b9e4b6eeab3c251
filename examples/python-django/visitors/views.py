"""One view for each thing that web apps do."""

import os
import random
import sys
import time
import uuid

from django.conf import settings
from django.core.management import call_command
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from visitors.forms import VisitorForm
from visitors.models import Visitor

LARGE_BYTES_MAX = 256 * 1024 * 1024
CHUNK = b"a" * 65536


def text(body, status=200):
    return HttpResponse(body, status=status, content_type="text/plain; charset=utf-8")


def whole_number(value):
    return int(value) if value and value.isdecimal() else 0


@require_GET
def index(request):
    context = {"greeting": settings.GREETING, "name": request.session.get("name"), "form": VisitorForm()}
    return render(request, "visitors/index.html", context)


def sign(request):
    """The form: CSRF-protected, kept in the session and in the database."""
    if request.method != "POST":
        call_command("migrate", verbosity=0)
        names = Visitor.objects.values_list("name", flat=True)
        return text("".join(f"{name}\n" for name in names))
    form = VisitorForm(request.POST)
    if not form.is_valid():
        context = {"greeting": settings.GREETING, "name": None, "form": form}
        return render(request, "visitors/index.html", context, status=400)
    # The database is new in every dyno; one that outlives dynos is migrated by a release command.
    call_command("migrate", verbosity=0)
    Visitor.objects.create(name=form.cleaned_data["name"])
    request.session["name"] = form.cleaned_data["name"]
    return redirect("index")


@require_GET
def hello(request):
    return text(f"Hello, {request.GET.get('name', 'World')}!")


@csrf_exempt
@require_POST
def echo(request):
    return HttpResponse(request.body, content_type=request.headers.get("content-type") or "application/octet-stream")


@require_GET
def cookies(request):
    visits = whole_number(request.COOKIES.get("visits")) + 1
    response = text(f"visits={visits}")
    response.set_cookie("visits", str(visits), httponly=True)
    return response


@require_GET
def large(request):
    """Streams: no more than one chunk is in memory, however many bytes are asked for."""
    size = min(whole_number(request.GET.get("bytes")), LARGE_BYTES_MAX)
    chunks = (CHUNK[:left] for left in range(size, 0, -len(CHUNK)))
    return StreamingHttpResponse(chunks, content_type="text/plain", headers={"Content-Length": str(size)})


@require_GET
def file(request):
    """Reads a data file of the app while the request runs."""
    return text((settings.BASE_DIR / "data" / "proverbs.txt").read_text("utf-8"))


@require_GET
def lazy(request):
    """Imports a part of the standard library that nothing else here uses."""
    import colorsys

    return JsonResponse({"hls": colorsys.rgb_to_hls(0.2, 0.4, 0.6)})


@require_GET
def environment(request):
    value = os.environ.get(request.GET.get("name", ""))
    return text("", 404) if value is None else text(value)


@require_GET
def random_values(request):
    return JsonResponse({"uuid": str(uuid.uuid4()), "random": random.random(), "time": time.time()})


def error(request):
    raise RuntimeError("this route always fails")


def crash(request):
    print("leaving with status 1", file=sys.stderr, flush=True)
    os._exit(1)
