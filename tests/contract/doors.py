"""An import-linter contract: a room is entered by the names its `__init__` lists.

A room is a package. Code outside of it may import the package itself and the modules that its
`__all__` names; all other modules are its own business.
"""

from __future__ import annotations

import ast
from pathlib import Path

import grimp
from importlinter import Contract, ContractCheck, fields, output

ROOT = Path(__file__).resolve().parents[2]

Found = tuple[str, str, str, int | None]
"""The module that imports, what it imports, the room of that, and the line."""


class Doors(Contract):
    """Rooms are the packages directly inside of `house`; both are given in pyproject.toml."""

    house = fields.StringField()

    def check(self, graph: grimp.ImportGraph, verbose: bool) -> ContractCheck:
        """Find each import of a module that its room does not list."""
        house = str(self.house)
        found: list[Found] = []
        for room in sorted(graph.find_children(house)):
            public = listed(room)
            for module in sorted(graph.find_descendants(room)):
                name = module.removeprefix(f"{room}.").partition(".")[0]
                if name in public:
                    continue
                for importer in sorted(graph.find_modules_that_directly_import(module)):
                    if importer != room and not importer.startswith(f"{room}."):
                        details = graph.get_import_details(importer=importer, imported=module)
                        line = details[0]["line_number"] if details else None
                        found.append((importer, module, room, line))
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Name each import, and the fix."""
        for importer, module, room, line in check.metadata["found"]:
            output.print_error(
                f"{importer} (line {line}) imports {module}, which {room} does not list in"
                " __all__: use a public name of the room, or make this one public.",
                bold=False,
            )


def listed(room: str) -> frozenset[str]:
    """The names in a package's `__all__`.

    Raises:
        ValueError: The package has none, or it is a plain module.
    """
    path = ROOT.joinpath(*room.split("."), "__init__.py")
    if not path.exists():
        raise ValueError(f"{room} is no package: move the module into a room")
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
        ):
            return frozenset(ast.literal_eval(node.value))
    raise ValueError(f"{path} has no __all__: list the names that other rooms may use")
