"""The sandbox provider: the Messages API, answered with general methods on this machine.

The local stack and the tests use it; production installs none of its libraries. It has no stored
answers. Of our other modules it imports only `workers.inference.dialect`, the part of JSON Schema
that the provider accepts. `app.create_app` is the ASGI application, `python -m workers.sandbox`
runs it.
"""
