"""Whatever is shown runs: the code blocks of README and docs, and the examples in docstrings.

tests/pages.py says how a page is run. Code of torch, and pages of libraries that the
everyday suite lacks, are in tests/test_documents_torch.py.
"""

import doctest
import importlib
import inspect
import pkgutil
import types
from pathlib import Path

import pytest

import jseq
from tests.everyday import slow_but_for
from tests.pages import PAGES, blocks, fault, needed, readers_machine, relative, run

EVERYDAY = ("README.md", "docs/tutorial.md")
PLAIN = [page for page in PAGES if not needed(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", slow_but_for(lambda page: relative(page) in EVERYDAY, PLAIN, relative))
def test_the_code_on_this_page_runs(page: Path) -> None:
    run(page, page.read_text(encoding="utf-8"))


def test_blocks_of_all_kinds_are_found() -> None:
    cell = "```{code-cell} ipython3\n:tags: [hide-input]\na += 1\n```\n"
    page = f"text\n```python\na = 1\n```\n```bash\nls\n```\n{cell}```py\nb = 2\n```\n"
    assert blocks(page) == [("python", 2, "a = 1\n"), ("code-cell", 9, "a += 1\n"), ("py", 12, "b = 2\n")]


def test_torch_code_sees_the_names_beside_it_and_leaves_them(tmp_path: Path) -> None:
    page = tmp_path / "two-libraries.md"
    theirs = "```py\nmodel = theirs = 'torch'\n```\n"
    again = "```py\nassert (model, ours) == ('torch', 'jseq')\n```\n"
    run(
        page,
        f"{theirs}```python\nmodel = ours = 'jseq'\n```\n{again}```python\nassert model == 'jseq'\n```\n",
        torch=True,
    )
    with pytest.raises(NameError, match="theirs"):
        run(page, f"{theirs}```python\ntheirs\n```\n", torch=True)


def test_the_fault_of_a_page_is_said_with_its_line(tmp_path: Path) -> None:
    page = tmp_path / "broken.md"
    whole = "text\n```python\na = 1\n```\n"
    assert fault(page, whole) is None
    assert fault(page, f"{whole}```python\na += 1\n1 / 0\n```\n") == (7, "ZeroDivisionError: division by zero")


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
    with readers_machine():
        runner.run(EXAMPLES[name], out=report.append)
    assert not runner.failures, "".join(report)


def test_the_examples_of_decorated_layers_are_found() -> None:
    assert {"jseq._layers.linear.linear", "jseq._combinators.sequential.sequential", "jseq.core.lift"} <= set(EXAMPLES)
