"""The pages: Sphinx, furo, myst-nb. Built by `make docs`, where a warning is an error.

Whatever is shown is run when a page is built, and an error in it stops the build. Short snippets are plain python
blocks, which `run_the_code` runs as tests/test_documents.py does. Pages that show output (the tutorial) are MyST
notebooks, `{code-cell}` blocks under jupytext front matter, which myst-nb executes. Left to the parity tests are torch
code (```py blocks), and pages of libraries that the everyday suite lacks (`<!-- needs: ... -->`).
"""

import inspect
import logging
import multiprocessing
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import sphinx.util.logging

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests import pages

project = "jseq"
author = "The jseq authors"
copyright = "The jseq authors, Apache-2.0"
release = version = installed_version("jseq")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",  # tabs, cards, and what folds away
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
# The index takes whatever pages a folder has. Sphinx 9.0 gives this warning no type by which to suppress it.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(lambda record: "toctree glob" not in str(record.msg))

html_theme = "furo"
html_title = "jseq"
html_static_path = ["_static"]
html_css_files = ["jseq.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#2f6f9f", "color-brand-content": "#2f6f9f"},
    "dark_css_variables": {"color-brand-primary": "#79b8e0", "color-brand-content": "#79b8e0"},
}
html_show_sourcelink = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "cache"
nb_execution_in_temp = True  # what a notebook saves is not left in the checkout
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

default_role = "literal"  # docstrings write code in single backquotes
autodoc_typehints = "none"  # the Args say it in words; jax's array types would fill the signature
autodoc_member_order = "bysource"
napoleon_use_rtype = False
napoleon_use_param = False
napoleon_attr_annotations = False

# Docstrings say what goes in and out in one line each: they are shown as fields.
FIELD = re.compile(r"^(Input|Output|Params|State|Context|Raises): ")
BARS = re.compile(r"(`[^`]*`)|\|(\w+)\|")  # |x| in prose is an absolute value, not a substitution

# Functions write equations more freely: any bar, and a star before a word (`*spatial`), is itself outside of code.
SIGNS = re.compile(r"(`[^`]*`)|(\||\*(?=\w+(?![\w*])))")


def fields(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turns the lines `Input: ...`, `Output: ...` of a docstring into a field list, set off by blank lines."""
    shown: list[str] = []
    inside = False
    for line in "\n".join(lines).replace(". Output: ", ".\nOutput: ").split("\n"):
        starts, continues = bool(FIELD.match(line)), line.startswith(" ")
        if starts != inside and not continues:
            shown.append("")
        inside = starts or (inside and continues)
        if name.startswith("jseq.functional"):
            line = line if line.lstrip().startswith((">>>", "...")) else SIGNS.sub(lambda m: m[1] or f"\\{m[2]}", line)
        else:
            line = BARS.sub(lambda m: m[1] or rf"\|{m[2]}\|", line)
        shown.append(FIELD.sub(r":\1: ", line))
    lines[:] = shown


def after_napoleon(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Calls arguments so, as params are something else here, and gives properties their docstring back.

    Of a property's first line napoleon takes what stands before a colon for a type.
    """
    if what == "property":
        lines[:] = inspect.getdoc(obj).splitlines()
    lines[:] = [line.replace(":Parameters:", ":Arguments:") for line in lines]


# A process of its own runs the code of all pages. In Sphinx's process, which also holds the notebooks' sockets, one
# build of CI ended in a segmentation fault, which did not come again in 15 builds.
reader = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


def run_the_code(app: Any, docname: str, source: list[str]) -> None:
    """Runs the python blocks of a page that is being read; an error is a warning of Sphinx, at the line of the page."""
    page, text = Path(app.env.doc2path(docname)), source[0]
    if "python" not in {kind for kind, _, _ in pages.blocks(text)} or pages.needed(text):
        return
    if fault := reader.submit(pages.fault, page, text).result():
        line, shown = fault
        log = sphinx.util.logging.getLogger(__name__)
        log.warning("the code of this page fails: %s", shown, location=(docname, line))


GALLERY = Path(__file__).parent / "gallery"
PICTURE = re.compile(r"_static/gallery/[\w-]+\.\w+")


def card(page: Path) -> str:
    """The card of a page of the gallery: its title, its first picture, and the first sentence of its text."""
    text = re.sub(r"\A---\n.*?^---\n", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    paragraphs = [part.strip() for part in text.split("\n\n")]
    title = next(part for part in paragraphs if part.startswith("# "))[2:]
    prose = next((part for part in paragraphs if part[:1].isalnum()), "")
    sentence = re.split(r"(?<=[.!?])\s", " ".join(prose.split()), maxsplit=1)[0]
    picture = PICTURE.search(text)
    image = f":img-top: /{picture[0]}\n" if picture else ""
    return f":::{{grid-item-card}} {title}\n:link: /gallery/{page.stem}\n:link-type: doc\n{image}\n{sentence}\n:::\n"


def show_the_gallery(app: Any, docname: str, source: list[str]) -> None:
    """Writes the cards of the gallery where a page says `<!-- cards -->`."""
    found = sorted(page for page in GALLERY.glob("*.md") if page.stem != "index")
    if "<!-- cards -->" in source[0] and docname.split("/")[-1] == "index":
        grid = f"::::{{grid}} 1 2 2 3\n:gutter: 3\n:class-container: gallery\n\n{''.join(map(card, found))}::::"
        source[0] = source[0].replace("<!-- cards -->", grid)
        for page in found:
            app.env.note_dependency(str(page))


def setup(app: Any) -> None:
    app.connect("source-read", show_the_gallery)
    app.connect("source-read", run_the_code)
    app.connect("autodoc-process-docstring", fields, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", after_napoleon, priority=600)
