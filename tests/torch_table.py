"""Prints, for each name of torch.nn, what to write in jseq, how often it is compared, and the largest errors.

`python -m tests.torch_table` prints the table; `python -m tests.torch_table --page` writes the page of the docs.
"""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import jseq
from jseq.core import CONSTRUCTORS
from tests import parity, torch_names
from tests.case import Case
from tests.cases import CASES, FAMILY_OF, VARIANTS

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "torch-to-jseq.md"


def outer_name(call: str) -> str:
    """The module that a torch expression builds: `nn.Linear(5, 7)` is a Linear."""
    found = re.match(r"nn\.(\w+)\(", call)
    return found[1] if found else ""


def cases_of(name: str) -> list[Case]:
    return [case for case in VARIANTS if outer_name(case.torch) == name]


def jseq_call(name: str) -> str:
    """The jseq layer that stands for this torch module, with its arguments."""
    found = [case for case in cases_of(name) if not (case.layer.wraps or repr(case.layer).startswith("jseq.lift"))]
    constructor = found[0].layer.name if found else torch_names.BY_HAND.get(name)
    if constructor is None:
        return ""
    arguments = [
        f"{p.name}" if p.default is p.empty else f"{p.name}={p.default!r}"
        for p in inspect.signature(getattr(jseq, constructor)).parameters.values()
        if p.kind is not p.KEYWORD_ONLY
    ]
    return f"jseq.{constructor}({', '.join(arguments)})"


def rows() -> Iterator[tuple[str, str, int, float, float]]:
    """Name, call, combinations compared, largest error forward and in gradients."""
    stored = {family: parity.stored(family) for family in set(FAMILY_OF.values())}
    for name in torch_names.SEQUENTIAL + torch_names.SEVERAL:
        forward = backward = 0.0
        compared = cases_of(name)
        for case in compared:
            errors = parity.compare(case, stored[FAMILY_OF[id(case)]][parity.identifier(case)])
            forward = max([forward, *(e for key, e in errors.items() if ".y." in f".{key}" or key.startswith("state"))])
            backward = max([backward, *(e for key, e in errors.items() if "dx." in key or "dparams." in key)])
        yield name, jseq_call(name), len(compared), forward, backward


def show() -> None:
    """Prints the table and the two counts."""
    missing = 0
    for name, call, count, forward, backward in rows():
        missing += not call
        print(f"{name:26s} {count:3d} {forward:9.1e} {backward:9.1e}  {call or 'MISSING'}")
    public = {name for name in dir(jseq) if getattr(jseq, name) in CONSTRUCTORS.values()}
    print(
        f"{len(torch_names.SEQUENTIAL)} names that stand in a Sequential, {len(torch_names.SEVERAL)} others, "
        f"{missing} missing"
    )
    print(f"{len(public)} public layers, {len(CASES)} cases, {len(VARIANTS)} combinations of arguments")


def table(head: str, entries: Mapping[str, str]) -> str:
    lines = "".join(f"| `{torch}` | {ours} |\n" for torch, ours in entries.items())
    return f"| {head} | jseq |\n|---|---|\n{lines}"


def escaped(text: str) -> str:
    return text.replace("|", "\\|")


LOSS_WORDS = """Losses are [optax](https://optax.readthedocs.io)'s, or a line of `jnp`. Here `x` is the prediction,
`y` the target, `ids` are classes, `t` is 0 or 1, `s` is -1 or 1, `p` and `q` are probabilities, `logp`
log-probabilities, `v` a variance, `d` a distance, `x_ids` the scores of the right classes; `cos` and `dist` are
`jseq.functional.cosine_similarity` and `pairwise_distance`."""

INIT_WORDS = """Initialisers are called with JAX-shaped weights, so those of `jax.nn.initializers` fit:
`jseq.linear(64, 128, weight_init=jax.nn.initializers.he_normal())`."""

LAYER_WORDS = """Each layer below is held against the torch module beside it, in float64, values and gradients.
Keyword-only extras such as `weight_init` are left out. `Lazy*` modules are the same layers with `None` for the size."""

HEAD = """# From every torch.nn name to jseq

<!-- Written by `python -m tests.torch_table --page` from tests/cases.py; a test compares the two. -->
"""


def page() -> str:
    """The text of docs/how-to/torch-to-jseq.md."""
    named = torch_names.SEQUENTIAL + torch_names.SEVERAL
    layers = {name: f"`{jseq_call(name)}`" for name in named}
    losses = {name: f"`{escaped(call)}`" for name, call in torch_names.LOSSES.items()} | torch_names.OTHER_LOSSES
    sections = [
        ("Layers", LAYER_WORDS, "torch.nn", layers),
        ("Containers and bases", "", "torch.nn", torch_names.CONTAINERS),
        ("Losses", LOSS_WORDS, "torch.nn", losses),
        ("torch.nn.functional", "The mathematics of the layers has the same names in `jseq.functional`. Otherwise:",
         "torch.nn.functional", torch_names.FUNCTIONAL),
        ("torch.nn.utils", "", "torch.nn.utils", torch_names.UTILS),
        ("torch.nn.init", INIT_WORDS, "torch.nn.init", torch_names.INIT),
    ]  # fmt: skip
    return HEAD + "".join(
        f"\n## {title}\n\n{words}\n\n{table(head, entries)}" for title, words, head, entries in sections
    )


if __name__ == "__main__":
    if "--page" in sys.argv:
        PAGE.write_text(page())
    else:
        show()
