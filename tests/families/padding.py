"""Cases of jseq/_layers/padding.py and padding_edges.py."""

import jseq
from tests.case import Case, floats

X = {1: floats(2, 5, 3), 2: floats(2, 4, 5, 3), 3: floats(2, 3, 4, 5, 2)}
SIDES = {1: "(1, 2)", 2: "(1, 2, 0, 3)", 3: "(1, 2, 3, 0, 2, 1)"}
CROPS = {1: "(-1, 2)", 2: "(1, -2, -1, 2)", 3: "(-1, 1, 2, -1, -1, 1)"}
KINDS = {"zero": "ZeroPad", "constant": "ConstantPad", "reflection": "ReflectionPad",
         "replication": "ReplicationPad", "circular": "CircularPad"}  # fmt: skip


def pad(kind: str, n: int, arguments: str, **options) -> Case:
    """The same arguments in both libraries."""
    value = ", -1.5" if kind == "constant" else ""
    layer = eval(f"jseq.{kind}_pad{n}d({arguments}{value})", {"jseq": jseq})
    return Case(layer, X[n], f"nn.{KINDS[kind]}{n}d({arguments}{value})", layout="channels", **options)


def unbatched(kind: str, n: int) -> Case:
    value = (0.5,) if kind == "constant" else ()
    layer = getattr(jseq, f"{kind}_pad{n}d")(1, *value)
    arguments = ", ".join(map(str, (1, *value)))
    return Case(layer, floats(*X[n].shape[1:]), f"nn.{KINDS[kind]}{n}d({arguments})", batched=False,
                torch_call="module(x[0].movedim(-1, 0)).movedim(0, -1)")  # fmt: skip


CASES = [
    pad(kind, n, SIDES[n], variants=(pad(kind, n, "2"), pad(kind, n, "0"), pad(kind, n, CROPS[n]), unbatched(kind, n)))
    for kind in KINDS
    for n in (1, 2, 3)
]
