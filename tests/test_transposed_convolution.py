"""Transposed convolutions in the forms that they take on a CPU, against XLA's own in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jseq
from jseq import functional as F
from jseq.functional import conv_rules
from tests.convolutions import close, compiles_anew, gradients, is_cut, orders
from tests.everyday import slow_but_for

# Input, weight, groups, stride, padding, output padding, dilation.
CASES = {
    "windows apart": ((3, 5, 4, 6), (2, 2, 6, 5), 1, 2, 0, 0, 1),
    "windows smaller than the stride": ((3, 5, 4, 6), (2, 1, 6, 5), 1, 3, 0, 1, 1),
    "4x4 of stride 2": ((3, 5, 4, 6), (4, 4, 6, 5), 1, 2, 1, 0, 1),
    "3x3 of stride 2": ((3, 5, 4, 6), (3, 3, 6, 5), 1, 2, 1, 1, 1),
    "5x3 of strides 3 and 1": ((3, 5, 4, 6), (5, 3, 6, 5), 1, (3, 1), (2, 0), (2, 0), 1),
    "much padding": ((3, 5, 4, 6), (3, 4, 6, 5), 1, 2, (4, 3), 0, 1),
    "many images": ((17, 5, 4, 3), (4, 4, 3, 4), 1, 2, 1, 0, 1),
    "dilated": ((3, 5, 4, 6), (3, 2, 6, 5), 1, (2, 3), 1, (1, 2), (3, 2)),
    "one axis": ((3, 9, 6), (4, 6, 5), 1, 2, 1, 0, 1),
    "one axis, of stride 8": ((3, 4, 6), (16, 6, 5), 1, 8, 4, 0, 1),
    "one place": ((9, 1, 1, 6), (4, 4, 6, 5), 1, 1, 0, 0, 1),
    "one place, padded": ((9, 1, 3, 6), (4, 3, 6, 5), 1, 2, 1, 1, 1),
    "one place by one": ((3, 1, 5, 6), (1, 3, 6, 5), 1, (2, 1), 0, (1, 0), 1),
    "stride 1": ((3, 5, 4, 17), (3, 3, 17, 6), 1, 1, 1, 0, 1),
    "stride 1, not padded": ((3, 5, 4, 6), (3, 3, 6, 5), 1, 1, 0, 0, 2),
    "depthwise": ((3, 5, 4, 6), (4, 4, 1, 6), 6, 2, 1, 0, 1),
    "three groups": ((3, 5, 4, 6), (3, 3, 2, 12), 3, 2, 1, 1, 1),
    "three groups, stride 1": ((3, 5, 4, 6), (3, 3, 2, 12), 3, 1, 1, 0, 1),
    "three axes": ((2, 3, 4, 3, 4), (4, 3, 2, 4, 5), 1, 2, (1, 1, 0), (0, 1, 0), 1),
    "three axes, stride 1": ((2, 3, 4, 3, 4), (3, 3, 2, 4, 5), 1, 1, (1, 1, 0), 0, 1),
    "three axes, groups": ((2, 3, 4, 3, 4), (2, 2, 2, 2, 6), 2, 2, 0, 0, 1),
}


NEVER_CUT = ("stride 1",)  # 3x3 is neither larger than the image nor than the output


@pytest.fixture(autouse=True)
def small_ones_too(monkeypatch):
    monkeypatch.setattr(conv_rules, "LEAST", 0)


def arrays(name):
    draw = np.random.default_rng(0)
    x, w, *_ = CASES[name]
    scale = np.float32(np.prod(w[:-1])) ** -0.5  # sines of large sums would show their roundings
    return [draw.normal(size=size).astype(np.float32) * s for size, s in ((x, 1), (w, scale), (x, 1), (w, scale))]


def own(name):
    x, _, groups, stride, padding, output_padding, dilation = CASES[name]
    conv = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}[len(x)]
    return lambda x, w: conv(x, w, None, stride, padding, output_padding, groups, dilation)


def xlas(name):
    x, w, groups, *options = CASES[name]
    n = len(x) - 2
    stride, padding, extra, dilation = (np.broadcast_to(option, (n,)).tolist() for option in options)
    spans = [d * (k - 1) for d, k in zip(dilation, w, strict=False)]
    pairs = [(s - p, s - p + more) for s, p, more in zip(spans, padding, extra, strict=True)]
    spatial = "DHW"[:n]
    return lambda x, w: lax.conv_general_dilated(
        x, w[(slice(None, None, -1),) * n], (1,) * n, pairs, stride, dilation,
        (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"), groups,
    )  # fmt: skip


EVERYDAY = ("windows apart", "5x3 of strides 3 and 1", "many images", "one axis, of stride 8", "one place, padded",
            "one place by one", "three groups", "three axes")  # fmt: skip


@pytest.mark.parametrize("name", slow_but_for(EVERYDAY.__contains__, CASES))
def test_values_and_derivatives(name) -> None:
    """Of first and second order, in forward and in reverse mode."""
    given = arrays(name)
    assert is_cut(gradients(own(name)), *given[:2]) == (name not in NEVER_CUT)
    close(jax.jit(partial(orders, own(name)))(*given), partial(orders, xlas(name)), *given)


MAPPED = ("windows apart", "4x4 of stride 2", "one place", "three groups", "three axes",
          "windows smaller than the stride", "many images")  # fmt: skip


@pytest.mark.parametrize("name", slow_but_for(MAPPED[:2].__contains__, MAPPED))
def test_vmap_gives_what_a_loop_gives(name) -> None:
    x, w, dx, dw = arrays(name)
    xs, ws = np.stack([x, dx]), np.stack([w, dw])
    for axes, given in (((0, None), (xs, w)), ((None, 0), (x, ws)), ((0, 0), (xs, ws))):
        close(jax.jit(jax.vmap(gradients(own(name)), axes))(*given), jax.vmap(gradients(xlas(name)), axes), *given)


@pytest.mark.parametrize("name", [name for name in CASES if "axes" not in name and "stride 1" not in name])
def test_xla_exchanges_no_operands(name) -> None:
    """Where it does, its own convolution has a window that runs backwards, and takes 10 to 40 times as long."""
    x, w, *_ = arrays(name)

    def backwards(conv) -> bool:
        return "rhs_reversal" in jax.jit(gradients(conv)).lower(x, w).compile().as_text()

    assert backwards(xlas(name)) == (name not in ("much padding", "one place")) and not backwards(own(name))


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("name", CASES)
def test_other_platforms_compile_xlas_own_convolution(name, platform) -> None:
    x, w, *_ = arrays(name)

    def lowered(conv):
        text = jax.jit(gradients(conv)).trace(x, w).lower(lowering_platforms=(platform,)).as_text()
        return [
            text.count(f"stablehlo.{op}") for op in ("convolution", "dot", "slice", "concatenate", "pad", "reverse")
        ]

    assert lowered(own(name)) == lowered(xlas(name)) and lowered(own(name))[0] == 3


@pytest.mark.parametrize("name", ["windows apart", "4x4 of stride 2", "one place", "three axes, groups"])
def test_a_gradient_keeps_the_input_and_not_its_pieces(name) -> None:
    x, w, *_ = arrays(name)
    kind = {4: jseq.conv_transpose2d, 5: jseq.conv_transpose3d}[x.ndim]
    window, stride, groups = w.shape[: x.ndim - 2], CASES[name][3], CASES[name][2]
    layer = kind(x.shape[-1], w.shape[-1], window, stride=stride, groups=groups, bias=False)
    rows = jseq.summary(jseq.sequential(jnp.sin, layer), x).rows
    assert [row.kept_bytes for row in rows] == [x.nbytes, x.nbytes, 0]  # the sine


@pytest.mark.parametrize("name", ["windows apart", "4x4 of stride 2", "one place", "three groups", "stride 1"])
def test_calls_without_jit_compile_once(name) -> None:
    x, w, *_ = arrays(name)
    assert not compiles_anew(gradients(own(name)), x, w)


def test_what_is_left_to_xla(monkeypatch) -> None:
    x, w, *_ = arrays("windows apart")
    conv = partial(F.conv_transpose2d, stride=2)

    monkeypatch.setattr(conv_rules, "LEAST", 2**16)
    assert is_cut(conv, np.ones((28, 5, 4, 6), np.float32), w)  # 67200 multiplications
    assert not is_cut(conv, np.ones((27, 5, 4, 6), np.float32), w)
    monkeypatch.setattr(conv_rules, "LEAST", 0)
    assert not is_cut(conv, jnp.asarray(x, jnp.bfloat16), w)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        split = jax.device_put(x[:2], jax.sharding.PartitionSpec("data"))
        assert not is_cut(conv, split, w)
        found = jax.jit(conv)(split, w)
    close(found, conv, x[:2], w)


def test_a_symbolic_batch_is_exported() -> None:
    x, w, *_ = arrays("4x4 of stride 2")
    conv = jax.jit(own("4x4 of stride 2"))
    (batch,) = jax.export.symbolic_shape("b")
    types = [jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype), jax.ShapeDtypeStruct(w.shape, w.dtype)]
    np.testing.assert_allclose(jax.export.export(conv)(*types).call(x, w), conv(x, w), rtol=0, atol=1e-5)
