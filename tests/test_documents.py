"""Whatever is shown runs: the code blocks of README and docs, and the examples in docstrings.

A page's blocks run in order in one namespace, like a reader who types them one after the other, and
under JAX's default settings, which are the reader's. A page of a library that not everyone has begins with
`<!-- needs: orbax.checkpoint -->`, and is skipped where that is missing.
"""

import contextlib
import doctest
import importlib
import inspect
import pkgutil
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

import jseq

ROOT = Path(__file__).resolve().parent.parent
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if "_build" not in page.parts]
BLOCK = re.compile(r"^```(?:python|\{code-cell\}[^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = re.compile(r"\A<!-- needs: ([\w.]+) -->$", re.MULTILINE)
OPTIONS = re.compile(r"\A(?:---\n.*?^---\n|(?::[^\n]*\n)+)", re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def readers_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The reader's machine: JAX's defaults, an empty folder to write to, no window for pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def blocks(text: str) -> list[tuple[int, str]]:
    """The Python blocks and MyST code cells of a page, each with the line it starts at."""
    found: list[tuple[int, str]] = []
    for match in BLOCK.finditer(text):
        source = match.group(1)
        options = OPTIONS.match(source)
        start = match.start(1) + (options.end() if options else 0)
        found.append((text.count("\n", 0, start), text[start : match.end(1)]))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_on_this_page_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.read_text(encoding="utf-8")
    needs = NEEDS.match(text)
    if needs:
        pytest.importorskip(needs.group(1))
    module = types.ModuleType(f"page_{page.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # layers defined on the page pickle by it
    with contextlib.redirect_stdout(None):
        for line, source in blocks(text):
            # Blank lines in front give tracebacks the line numbers of the page.
            exec(compile("\n" * line + source, str(page), "exec"), module.__dict__)


def test_blocks_of_both_kinds_are_found() -> None:
    page = "text\n```python\na = 1\n```\n```bash\nls\n```\n```{code-cell} ipython3\n:tags: [hide-input]\na += 1\n```\n"
    assert blocks(page) == [(2, "a = 1\n"), (9, "a += 1\n")]


def modules() -> list[types.ModuleType]:
    names = [info.name for info in pkgutil.walk_packages(jseq.__path__, "jseq.")]
    return [jseq, *(importlib.import_module(name) for name in sorted(names))]


def docstring_examples() -> dict[str, doctest.DocTest]:
    """The doctests of every module, those of decorated layers included.

    doctest takes a function for a module's own if its globals are the module's; what `@jseq.layer`
    makes has the globals of `jseq.core`, so constructors are handed over one by one.
    """
    finder = doctest.DocTestFinder()
    found: dict[str, doctest.DocTest] = {}
    for module in modules():
        for test in finder.find(module):
            found[test.name] = test
        for name, value in vars(module).items():
            if hasattr(value, "__wrapped__") and value.__module__ == module.__name__:
                for test in finder.find(inspect.unwrap(value), f"{module.__name__}.{name}", module):
                    found[test.name] = test
    return {name: test for name, test in found.items() if test.examples}


EXAMPLES = docstring_examples()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_in_this_docstring_runs(name: str) -> None:
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    EXAMPLES[name].globs["__name__"] = "__main__"  # what the reader defines at the prompt belongs there
    runner.run(EXAMPLES[name], out=report.append)
    assert not runner.failures, "".join(report)


def test_the_examples_of_decorated_layers_are_found() -> None:
    assert {"jseq._layers.linear.linear", "jseq._combinators.sequential.sequential", "jseq.core.lift"} <= set(EXAMPLES)
