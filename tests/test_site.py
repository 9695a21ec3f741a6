"""The site is complete: every public name has a place in the reference, every example in the gallery."""

import doctest
import json
import re
import types

import jseq
import jseq.debug
import jseq.errors
import jseq.functional
from benchmarks.beside import __main__ as beside
from benchmarks.beside import report
from tests.pages import PAGES, ROOT

DOCS = ROOT / "docs"
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
DIRECTIVE = re.compile(r"^ *\.\. (?:auto\w+|py:\w+):: (jseq[\w.]*)", re.MULTILINE)
RESULTS = json.loads(beside.RESULTS.with_suffix(".json").read_text(encoding="utf-8"))


def public(module: types.ModuleType) -> list[str]:
    """The names that a module offers: of `jseq` all but modules, elsewhere what is defined there."""
    names = {name: value for name, value in vars(module).items() if name[0] != "_"}
    if module is jseq:
        return [name for name, value in names.items() if not isinstance(value, types.ModuleType)]
    return [name for name, value in names.items() if getattr(value, "__module__", "") == module.__name__]


def test_every_public_name_has_a_place_in_the_reference():
    described = set(DIRECTIVE.findall(TEXT))
    names = {f"{module.__name__}.{name}" for module in (jseq, jseq.debug) for name in public(module)}
    assert sorted(names - described) == []
    assert "jseq.functional" in described  # whole, by automodule


def test_every_example_is_in_the_gallery():
    gallery = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "gallery").glob("*.md"))
    missing = [script.name for script in (ROOT / "examples").glob("*.py") if f"examples/{script.name}" not in gallery]
    assert missing == []


def test_the_comparison_shows_what_was_measured():
    page = beside.PAGE.read_text(encoding="utf-8")
    assert report.filled(page, RESULTS) == page, "run `python -m benchmarks.beside`"
    assert beside.RESULTS.with_suffix(".md").read_text(encoding="utf-8") == report.markdown(RESULTS)


def test_the_lines_are_those_of_the_programs():
    for name, found in RESULTS["libraries"].items():
        assert report.counted((beside.PROGRAMS / f"{name}.py").read_text(encoding="utf-8")) == found["lines"], name


def test_the_examples_of_its_report_hold():
    failed, tried = doctest.testmod(report)
    assert failed == 0 and tried >= 2
