"""A stand-in for the provider: the Messages API, answered by general methods on this machine.

It is the only fake of the system and holds nothing of it: it imports no other module of ours and
knows no input by heart. `app.create_app` is the ASGI application, `python -m` runs it.
"""
