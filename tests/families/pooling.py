"""Cases of jseq/_layers/max_pooling.py, average_pooling.py, lp_pooling.py and global_pooling.py."""

from dataclasses import replace

import jseq
from tests.case import Case, Input, floats

X = {1: floats(2, 9, 3), 2: floats(2, 7, 8, 3), 3: floats(2, 5, 6, 4, 2)}
LONG = floats(2, 23, 3)
POSITIVE = {n: floats(*x.shape, low=0.1) for n, x in X.items()}


def pool(name: str, n: int, arguments: str, x: Input | None = None) -> Case:
    """The same arguments in both libraries."""
    layer = eval(f"jseq.{name}_pool{n}d({arguments})", {"jseq": jseq})
    torch_name = {"max": "MaxPool", "avg": "AvgPool", "lp": "LPPool"}[name]
    return Case(layer, x or X[n], f"nn.{torch_name}{n}d({arguments})", layout="channels")


def pools(name: str, n: int, first: str, *others: str | Case) -> Case:
    """A layer, its variants, and the first again without and with two batch axes."""
    variants = [pool(name, n, other) if isinstance(other, str) else other for other in others]
    base = pool(name, n, first)
    alone = replace(base, x=floats(*X[n].shape[1:]), torch_call="module(x[0].movedim(-1, 0)).movedim(0, -1)",
                    layout="last", batched=False)  # fmt: skip
    call = "module(x[0].flatten(0, 1).movedim(-1, 1)).movedim(1, -1).unflatten(0, (2, 2))"
    double = replace(base, x=floats(2, *X[n].shape), torch_call=call, layout="last")
    return replace(base, variants=(*variants, alone, double))


def whole(name: str, n: int) -> Case:
    """Global pooling is adaptive pooling to size 1, without its axes."""
    layer = eval(f"jseq.global_{name.lower()}_pool{n}d()", {"jseq": jseq})
    module = f"nn.Adaptive{name}Pool{n}d(1)"
    base = Case(layer, X[n], module, "module(*x).flatten(1)", layout="channels")
    call = "module(x[0].movedim(-1, 0)).flatten()"
    alone = Case(layer, floats(*X[n].shape[1:]), module, call, batched=False)
    return replace(base, variants=(alone,))


CASES = [
    pools(
        "max", 1, "2", "3, 2, 1", "3, 2, ceil_mode=True", "3, 1, 1, 2", "2, return_indices=True",
        "3, 2, 1, ceil_mode=True, return_indices=True", pool("max", 1, "10, 1", LONG), pool("max", 1, "9, 10", LONG),
        pool("max", 1, "10, 1, 2, return_indices=True", LONG), pool("max", 1, "9, 10, return_indices=True", LONG),
    ),
    pools(
        "max", 2, "2", "3, 2, 1", "(2, 3), (1, 2), (1, 0), (2, 1)", "3, 2, ceil_mode=True", "2, return_indices=True",
        "(3, 4), (2, 1), (1, 2), return_indices=True", "2, 3, 1, ceil_mode=True",
    ),
    pools(
        "max", 3, "2", "3, 2, 1", "(2, 3, 1), (1, 2, 2), (1, 1, 0), (2, 1, 1)", "3, 2, ceil_mode=True",
        "2, return_indices=True",
    ),
    pools(
        "avg", 1, "2", "3, 2, 1", "3, 2, 1, count_include_pad=False", "2, 2, 1, ceil_mode=True",
        "4, 3, 2, True, False", pool("avg", 1, "10, 3", LONG),
    ),
    pools(
        "avg", 2, "2", "3, 2, 1", "3, 2, 1, count_include_pad=False", "(3, 2), (2, 3), (1, 0), ceil_mode=True",
        "3, 2, 1, True, False", "3, divisor_override=4", "(4, 3), 2, 1, divisor_override=-2",
    ),
    pools(
        "avg", 3, "2", "3, 2, 1", "3, 2, 1, count_include_pad=False", "(3, 2, 1), (2, 3, 1), (1, 0, 0), ceil_mode=True",
        "3, 2, 1, True, False", "2, divisor_override=3",
    ),
    *(
        pools(
            "lp", n, "2, 2", "1, 3", "2, 3, 2", "4, 3, 2, ceil_mode=True", "float('inf'), 2",
            pool("lp", n, "3, 2", POSITIVE[n]), pool("lp", n, "1.5, 3, 1", POSITIVE[n]),
            pool("lp", n, "-1, 2", POSITIVE[n]), *((pool("lp", 2, "2, (3, 2), (1, 2)"),) if n == 2 else ()),
        )
        for n in (1, 2, 3)
    ),
    *(whole(name, n) for name in ("Avg", "Max") for n in (1, 2, 3)),
]  # fmt: skip
