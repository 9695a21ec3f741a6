"""The pages and their code: what tests/test_documents.py runs, and what docs/conf.py runs when the pages are built.

A page's blocks run in order in one namespace, like a reader who types them one after the other. A page of a library
that not everyone has begins with `<!-- needs: orbax.checkpoint -->`. Blocks of torch code are written ```py.
"""

import contextlib
import importlib.util
import os
import re
import sys
import tempfile
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jax

ROOT = Path(__file__).resolve().parent.parent
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if "_build" not in page.parts]
BLOCK = re.compile(r"^```(python|py|\{code-cell\}[^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = re.compile(r"\A<!-- needs: ([\w.]+) -->$", re.MULTILINE)
OPTIONS = re.compile(r"\A(?:---\n.*?^---\n|(?::[^\n]*\n)+)", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[tuple[str, int, str]]:
    """The code blocks of a page: python, py (torch) or code-cell, the line it starts at, the source."""
    found: list[tuple[str, int, str]] = []
    for match in BLOCK.finditer(text):
        source = match.group(2)
        options = OPTIONS.match(source)
        start = match.start(2) + (options.end() if options else 0)
        kind = match.group(1).partition(" ")[0].strip("{}")
        found.append((kind, text.count("\n", 0, start), text[start : match.end(2)]))
    return found


def relative(page: Path) -> str:
    """The page as the tests name it."""
    return page.relative_to(ROOT).as_posix()


def needed(text: str) -> str:
    """The library that a page says it needs, or nothing."""
    found = NEEDS.match(text)
    return found[1] if found else ""


def importable(name: str) -> bool:
    """Whether a library is installed."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the package around it
        return False


@contextlib.contextmanager
def readers_machine() -> Iterator[None]:
    """JAX's defaults, an empty folder to write to, no window for pictures."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, MPLBACKEND="Agg"),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")


def run(page: Path, text: str, *, torch: bool = False) -> None:
    """Runs the blocks of a page; those of torch too, if asked, which see jseq's names beneath their own."""
    name = f"page_{page.stem.replace('-', '_')}"
    module = sys.modules[name] = types.ModuleType(name)  # layers defined on the page pickle by it
    names, own = module.__dict__, dict[str, Any]()
    try:
        with readers_machine(), contextlib.redirect_stdout(None):
            for kind, line, source in blocks(text):
                # Blank lines in front give tracebacks the line numbers of the page.
                code = compile("\n" * line + source, str(page), "exec")
                if kind != "py":
                    exec(code, names)
                elif torch:
                    both = {**names, **own}
                    exec(code, both)
                    own = {key: value for key, value in both.items() if names.get(key) is not value}
    finally:
        del sys.modules[name]


def fault(page: Path, text: str) -> tuple[int | None, str] | None:
    """Runs a page and says its error, if it has one: the line of the page, and the message."""
    try:
        run(page, text)
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(page)]
        return lines[-1] if lines else None, "".join(traceback.format_exception_only(error)).strip()
    return None
