"""Orders to the model and foul language in text that users or documents bring.

Each sentence is read as it is, normalised, and decoded one level. It counts when words of several
concepts are close to each other, such as a verb of discarding, its object and the word `previous`.
"""

from aifeature.services.guards.injection.scanning import scan

__all__ = ["scan"]
