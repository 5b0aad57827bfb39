"""Synthetic data for the local stack: 28 days of requests, and what operators did about them.

`loading.load` writes all of it in one transaction, so a load that breaks off leaves nothing. The
modules below `rows` are pure and deterministic: the same moment and the same users give the same
requests. `docs/design/demo.md` describes the story.

Public: `loading`, `rules`.
"""
