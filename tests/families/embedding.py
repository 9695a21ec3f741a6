"""Cases of jseq/_layers/embedding.py and positions.py."""

from dataclasses import dataclass

import numpy as np

import jseq
from tests.case import Case, Input, floats, ints

IDS = ints(7, 4, 5)


@dataclass(frozen=True)
class Given(Input):
    """Integers that are not drawn."""

    values: tuple[int, ...] = ()

    def draw(self, random: np.random.RandomState) -> np.ndarray:
        return np.array(self.values, np.int32).reshape(self.shape)


def given(*values: int) -> Given:
    return Given((len(values),), values=values)


def same(name: str, torch_name: str, arguments: str, x=IDS, **options) -> Case:
    """The same arguments in both libraries."""
    layer = eval(f"jseq.{name}({arguments})", {"jseq": jseq})
    return Case(layer, x, f"nn.{torch_name}({arguments})", **options)


def shortened(max_norm: float, norm_type: float, reduced: str = "y") -> str:
    """A call of torch that finds its module's values, with the gradient of the same formula.

    torch shortens the rows in place and out of autograd's sight, so that the table changes in evaluation too and
    its gradient is taken at the new place. jseq's table stays; the gradient is that of the values.
    """
    return (
        f"(r := module.weight.clone()[x[0]], n := r.norm({norm_type}, -1, True), "
        f"y := torch.where(n > {max_norm}, r * ({max_norm} / (n + 1e-7)), r), y := {reduced}, "
        "y + (module(x[0]) - y).detach())[-1]"
    )


def embedding(arguments: str, **options) -> Case:
    return same("embedding", "Embedding", f"7, 3, {arguments}", **options)


def bag(arguments: str, x=IDS, **options) -> Case:
    return same("embedding_bag", "EmbeddingBag", f"7, 3, {arguments}", x, **options)


def by_frequency(mode: str) -> str:
    """A call of torch that finds its module's values, with the gradient of `nn.Embedding`.

    torch 2.13 on CPU divides by the count of another id than the row's (see jseq.functional.embedding_bag), which
    only shows where counts differ: TWICE, where every id stands twice, is compared with the module itself.
    """
    rows = "nn.functional.embedding(x[0], module.weight, scale_grad_by_freq=True)"
    return f"(y := {rows}.{mode}(-2), y + (module(x[0]) - y).detach())[-1]"


def ragged(arguments: str, *offsets: int, weights: bool = False) -> Case:
    """Bags of different lengths, empty ones among them."""
    context: dict[str, Input] = {"offsets": given(*offsets)}
    call = "module(x[0], offsets.long())"
    if weights:
        context["per_sample_weights"] = floats(12)
        call = "module(x[0], offsets.long(), per_sample_weights)"
    return bag(arguments, ints(7, 12), context=context, torch_call=call, batched=False)


TWICE = Given((2, 7), values=(0, 5, 2, 2, 6, 1, 3, 1, 4, 0, 3, 5, 6, 4))
BAGS = (
    bag("mode='sum'"),
    bag("mode='max'"),
    bag("mode='sum', padding_idx=2"),
    bag("padding_idx=-1"),
    bag("mode='max', padding_idx=2"),
    bag(
        "mode='sum'", context={"per_sample_weights": floats(4, 5)}, torch_call="module(x[0], None, per_sample_weights)"
    ),
    bag("None, 2.0, True, 'mean'", TWICE),
    bag("None, 2.0, True, 'sum'", TWICE),
    bag("None, 2.0, True, 'mean'", torch_call=by_frequency("mean")),
    bag("None, 2.0, True, 'sum'", torch_call=by_frequency("sum")),
    bag("0.6", torch_call=shortened(0.6, 2.0, "y.mean(-2)")),
    bag("0.5, 1.0, mode='sum'", torch_call=shortened(0.5, 1.0, "y.sum(-2)")),
    ragged("mode='mean'", 0, 3, 3, 7),
    ragged("mode='sum', padding_idx=2", 0, 1, 4, 12),
    ragged("mode='max'", 0, 5, 5, 11),
    ragged("mode='sum', include_last_offset=True", 0, 3, 3, 7, 12),
    ragged("include_last_offset=True", 0, 12),
    ragged("mode='sum'", 0, 3, 3, 7, weights=True),
    ragged("mode='sum', padding_idx=2, include_last_offset=True", 0, 3, 3, 7, 12, weights=True),
    # One bag without a batch axis, and two batch axes: torch takes neither.
    bag("mode='sum'", ints(7, 5), torch_call="module(x[0][None])[0]", batched=False),
    bag("mode='max'", ints(7, 2, 3, 4), torch_call="module(x[0].flatten(0, 1)).unflatten(0, (2, 3))"),
)


def rotated(positions, base=10000.0, interleaved=False):
    """Rotary embedding by complex numbers: pairs times e^(i t)."""

    def reference(params, x):
        half = x.shape[-1] // 2
        rates = base ** (-2.0 * np.arange(half) / x.shape[-1])
        turn = np.exp(1j * np.asarray(positions, float)[..., None, None] * rates)
        if interleaved:
            z = (x[..., 0::2] + 1j * x[..., 1::2]) * turn
            return np.stack([z.real, z.imag], -1).reshape(x.shape)
        z = (x[..., :half] + 1j * x[..., half:]) * turn
        return np.concatenate([z.real, z.imag], -1)

    return reference


def waves(base=10000.0):
    def reference(params, x):
        t, i = np.arange(x.shape[-2])[:, None], np.arange(x.shape[-1])
        angles = t / base ** (2 * (i // 2) / x.shape[-1])
        return x + np.where(i % 2, np.cos(angles), np.sin(angles))

    return reference


ADDED = "x[0] + module.weight[: x[0].shape[-2]]"
HEADS = floats(2, 5, 3, 4)

CASES = [
    Case(
        jseq.embedding(7, 3), IDS, "nn.Embedding(7, 3)",
        variants=(
            embedding("padding_idx=2"),
            embedding("padding_idx=-1"),
            embedding("scale_grad_by_freq=True"),
            embedding("2, scale_grad_by_freq=True"),
            embedding("max_norm=0.6", torch_call=shortened(0.6, 2.0)),
            embedding("None, 0.5, 1.0", torch_call=shortened(0.5, 1.0)),
            embedding("None, 0.6, float('inf')", torch_call=shortened(0.6, float("inf")).replace("inf", "torch.inf")),
            same("embedding", "Embedding", "7, 3", ints(7, 6), batched=False),
        ),
    ),
    Case(jseq.embedding_bag(7, 3), IDS, "nn.EmbeddingBag(7, 3)", variants=BAGS),
    Case(
        jseq.learned_positions(6, 4), floats(3, 5, 4), "nn.Embedding(6, 4)", torch_call=ADDED, init=False,
        variants=(
            Case(jseq.learned_positions(5, 4), floats(2, 3, 5, 4), "nn.Embedding(5, 4)", torch_call=ADDED, init=False),
            Case(jseq.learned_positions(6, None), floats(5, 4), "nn.Embedding(6, 4)", torch_call=ADDED, init=False,
                 batched=False),
        ),
    ),
    Case(
        jseq.sinusoidal_positions(4), floats(3, 5, 4), reference=waves(),
        variants=(
            Case(jseq.sinusoidal_positions(), floats(3, 5, 7), reference=waves()),
            Case(jseq.sinusoidal_positions(6, 100.0), floats(2, 2, 9, 6), reference=waves(100.0)),
        ),
    ),
    Case(
        jseq.rotary_embedding(), HEADS, reference=rotated(range(5)),
        variants=(
            Case(jseq.rotary_embedding(100.0, True), HEADS, reference=rotated(range(5), 100.0, True)),
            Case(jseq.rotary_embedding(), HEADS, reference=rotated((3, 1, 4, 1, 5)),
                 context={"positions": given(3, 1, 4, 1, 5)}),
            Case(jseq.rotary_embedding(interleaved=True), HEADS,
                 reference=rotated([[0, 1, 2, 3, 4], [7, 8, 9, 9, 2]], interleaved=True),
                 context={"positions": Given((2, 5), values=(0, 1, 2, 3, 4, 7, 8, 9, 9, 2))}),
        ),
    ),
]  # fmt: skip
