"""What turns an unmodified Python app into a dyno: loading, WSGI, ASGI, commands."""
