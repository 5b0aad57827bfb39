"""The service layer: one package per domain.

Each package states its purpose and its public names. ARCHITECTURE.md shows their order;
pyproject.toml enforces it.
"""
