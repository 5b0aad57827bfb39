"""A stand-in for the provider: the Messages API, answered by general methods on this machine.

It is the only fake of the system, and it knows no input by heart. Of our other modules it imports
`workers.inference.dialect` alone, which says what JSON Schema the provider accepts.
`app.create_app` is the ASGI application, `python -m workers.sandbox` runs it.
"""
