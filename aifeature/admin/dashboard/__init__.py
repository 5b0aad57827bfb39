"""The dashboard at `/dashboard/`: the six numbers, cards, charts, and the state of the system.

`views` answers requests, `page` composes them. The other modules turn figures of services into what
the templates draw, by functions without a database.
"""
