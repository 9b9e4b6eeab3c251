"""Addresses of the app."""

from django.urls import path

from visitors import views

urlpatterns = [
    path("", views.index, name="index"),
    path("sign", views.sign, name="sign"),
    path("hello", views.hello),
    path("echo", views.echo),
    path("cookies", views.cookies),
    path("large", views.large),
    path("file", views.file),
    path("lazy", views.lazy),
    path("environment", views.environment),
    path("random", views.random_values),
    path("error", views.error),
    path("crash", views.crash),
]
