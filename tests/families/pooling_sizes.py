"""Cases of jseq/_layers/adaptive_pooling.py, fractional_pooling.py and unpooling.py."""

from dataclasses import dataclass, replace

import numpy as np

import jseq
from tests.case import Case, Input, floats

X = {1: floats(2, 9, 3), 2: floats(2, 7, 8, 3), 3: floats(2, 5, 6, 4, 2)}
FRACTIONAL = {2: floats(2, 9, 10, 3), 3: floats(2, 7, 8, 9, 2)}
SAMPLES = {2: floats(2, 3, 2, low=0.0), 3: floats(2, 2, 3, low=0.0)}
CALL = (
    "nn.functional.fractional_max_pool{}d(x[0], module.kernel_size, module.output_size, module.output_ratio, "
    "module.return_indices, _random_samples=samples)"
)


@dataclass(frozen=True)
class Places(Input):
    """Indices to unpool to: different ones within each channel, so that the result is defined."""

    def draw(self, random: np.random.RandomState) -> np.ndarray:
        batch, *window, channels = self.shape
        rows = [random.permutation(self.high)[: int(np.prod(window))] for _ in range(batch * channels)]
        return np.moveaxis(np.reshape(rows, (batch, channels, *window)), 1, -1).astype(np.int32)


def adaptive(name: str, n: int, first: str, *others: str) -> Case:
    """Sizes that divide and sizes that do not."""

    def case(arguments: str) -> Case:
        layer = eval(f"jseq.adaptive_{name.lower()}_pool{n}d({arguments})", {"jseq": jseq})
        known = "9" if (n, arguments) == (1, "None") else arguments  # torch's 1d pools take no None
        return Case(layer, X[n], f"nn.Adaptive{name}Pool{n}d({known})", layout="channels")

    base = case(first)
    alone = replace(base, x=floats(*X[n].shape[1:]), torch_call="module(x[0].movedim(-1, 0)).movedim(0, -1)",
                    layout="last", batched=False)  # fmt: skip
    return replace(base, variants=(*map(case, others), alone))


def fractional(n: int, *arguments: str) -> Case:
    """The layer draws from its key; it is held against torch on the same samples."""

    def layer(arguments: str) -> jseq.Layer:
        return eval(f"jseq.fractional_max_pool{n}d({arguments})", {"jseq": jseq})

    def case(arguments: str) -> Case:
        module = f"nn.FractionalMaxPool{n}d({arguments})"
        context = {"samples": SAMPLES[n]}
        return Case(layer(arguments), FRACTIONAL[n], module, CALL.format(n), "channels", context=context)

    return Case(layer(arguments[0]), FRACTIONAL[n], variants=tuple(map(case, arguments)))


def unpool(n: int, arguments: str, window: tuple[int, ...], size: int, torch_call: str = "") -> Case:
    """`size` is the number of places in the output."""
    layer = eval(f"jseq.max_unpool{n}d({arguments})", {"jseq": jseq})
    call = torch_call or "module(x[0], x[1].movedim(-1, 1))"
    shape = (2, *window, 3)
    module = f"nn.MaxUnpool{n}d({arguments.partition(', output_size')[0]})"
    return Case(layer, (floats(*shape), Places(shape, size)), module, call, layout="channels")


def sized(size: str) -> str:
    return f"module(x[0], x[1].movedim(-1, 1), output_size={size})"


CASES = [
    adaptive("Avg", 1, "4", "1", "3", "None", "12"),
    adaptive("Avg", 2, "(3, 5)", "1", "(7, 4)", "(None, 3)", "(9, 2)"),
    adaptive("Avg", 3, "(2, 4, 3)", "1", "(5, 3, 2)", "(None, 2, 5)"),
    adaptive("Max", 1, "4", "1", "3", "None", "12", "4, return_indices=True", "3, True"),
    adaptive("Max", 2, "(3, 5)", "1", "(7, 4)", "(None, 3)", "(9, 2)", "(3, 5), True", "(7, 4), True"),
    adaptive("Max", 3, "(2, 4, 3)", "1", "(5, 3, 2)", "(None, 2, 5)", "(2, 4, 3), True"),
    fractional(
        2, "2, output_size=5", "3, (4, 6)", "(2, 3), output_ratio=0.5", "2, None, (0.4, 0.7)",
        "2, 5, return_indices=True", "(3, 2), 1",
    ),
    fractional(3, "2, output_size=4", "2, (3, 4, 5)", "(1, 2, 3), output_ratio=0.5", "2, None, (0.5, 0.6, 0.4), True"),
    replace(
        unpool(1, "2", (4,), 8),
        variants=(
            unpool(1, "3, 2, 1", (4,), 7),
            unpool(1, "2, output_size=9", (4,), 9, sized("(9,)")),
        ),
    ),
    replace(
        unpool(2, "2", (3, 4), 48),
        variants=(
            unpool(2, "(3, 2), (2, 1), (1, 0)", (3, 4), 25),
            unpool(2, "2, output_size=(7, 8)", (3, 4), 56, sized("(7, 8)")),
        ),
    ),
    replace(
        unpool(3, "2", (2, 1, 2), 32),
        variants=(
            unpool(3, "3, 2, (1, 0, 1)", (2, 1, 2), 27),
            unpool(3, "2, output_size=(5, 2, 4)", (2, 1, 2), 40, sized("(5, 2, 4)")),
        ),
    ),
]  # fmt: skip
