"""The house has floors: imports point down, and `import jseq` brings in jax and nothing else."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "jseq"
FLOORS = [
    {"errors"},
    {"_core", "core"},
    {"functional"},
    {"_layers"},
    {"_combinators"},
    {"_tools", "_interop"},
    {"debug"},
    {"__init__", "__main__"},
]
PACKAGES = {"_core", "_layers", "_combinators", "_tools", "_interop"}
ALWAYS = {"jax", "numpy", "jseq"}  # jaxlib comes with jax; the standard library is free


class Import(NamedTuple):
    """One import statement: the module it reads, the names it takes, and where it stands."""

    module: str
    names: tuple[str, ...]
    place: str
    inside_function: bool
    for_types: bool


def floor(module: str) -> int:
    """The floor that a module of jseq stands on, counted from the ground."""
    part = [*module.split("."), "__init__"][1]
    for level, parts in enumerate(FLOORS):
        if part in parts:
            return level
    raise AssertionError(f"{module} stands on no floor; give {part} one in tests/test_imports.py and in design.md.")


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def imports(path: Path) -> list[Import]:
    found: list[Import] = []

    def visit(node: ast.AST, inside_function: bool, for_types: bool) -> None:
        for child in ast.iter_child_nodes(node):
            place = f"{path.relative_to(PACKAGE.parent)}:{getattr(child, 'lineno', 0)}"
            if isinstance(child, ast.Import):
                found.extend(Import(alias.name, (), place, inside_function, for_types) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0 and child.module, f"{place}: imports are absolute"
                names = tuple(alias.name for alias in child.names)
                found.append(Import(child.module, names, place, inside_function, for_types))
            function = inside_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            visit(child, function, for_types or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)))

    visit(ast.parse(path.read_text(encoding="utf-8")), False, False)
    return found


def modules_read(entry: Import) -> Iterator[str]:
    """The jseq modules behind an import: `from jseq import functional` reads jseq.functional."""
    if entry.module == "jseq":
        for name in entry.names:
            yield f"jseq.{name}" if any(name in parts for parts in FLOORS) else "jseq"
    elif entry.module.startswith("jseq."):
        yield entry.module


FILES = sorted(PACKAGE.rglob("*.py"))
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))


@each_file
def test_imports_point_down(path: Path) -> None:
    own = floor(module_name(path))
    for entry in imports(path):
        for module in modules_read(entry):
            assert entry.for_types or floor(module) <= own, f"{entry.place}: {module} stands above"


@each_file
def test_third_parties_are_imported_where_they_are_used(path: Path) -> None:
    for entry in imports(path):
        root = entry.module.split(".")[0]
        free = root in ALWAYS or root in sys.stdlib_module_names
        assert free or entry.inside_function or entry.for_types, f"{entry.place}: import {root} inside the function"


@each_file
def test_nothing_private_is_imported(path: Path) -> None:
    for entry in imports(path):
        private = {name for name in entry.names if name.startswith("_") and not name.startswith("__")}
        assert not private - PACKAGES, f"{entry.place}: {private} of {entry.module}"
        full = {entry.module, *(f"{entry.module}.{name}" for name in entry.names)}
        for forbidden in ("jax._src", "jax.core", "jaxlib"):
            assert not any(name == forbidden or name.startswith(forbidden + ".") for name in full), entry.place


def test_the_top_floor_only_gathers_names() -> None:
    body = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body
    other = [node for node in body[1:] if not isinstance(node, ast.Import | ast.ImportFrom | ast.Assign)]
    assert not other, f"jseq/__init__.py:{other[0].lineno} is more than an import"


def test_import_jseq_brings_in_jax_and_nothing_else() -> None:
    program = (
        "import sys, jax, jax.numpy; before = set(sys.modules); import jseq\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=PACKAGE.parent,
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    new = set(done.stdout.split()) - sys.stdlib_module_names
    assert new <= {"jseq", "jax", "jaxlib"}, f"import jseq also imports {sorted(new - {'jseq', 'jax', 'jaxlib'})}"
