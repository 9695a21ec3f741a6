"""The faster forms that some shapes take on CPU give what numpy gives in float64.

The cases of tests/families are too small for them.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from numpy.lib.stride_tricks import sliding_window_view

import jseq
from jseq import functional as F
from jseq.functional import conv_rules

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def close(a, b, tolerance=2e-5) -> None:
    np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max(), rtol=0)


WIDE, ROWS, NARROW = 256, 64, 10  # of these sizes the gradient of the weight is computed the other way round


def product():
    x, w, g = normal(ROWS, WIDE), normal(WIDE, NARROW), normal(ROWS, NARROW)
    return x, w, g, *(a.astype(np.float64) for a in (x, w, g))


def is_turned(rows: int, wide: int, narrow: int) -> bool:
    gradient = jax.grad(lambda w, x: F.linear(x, w).sum())
    return " apart " in str(jax.make_jaxpr(gradient)(normal(wide, narrow), normal(rows, wide)))


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((ROWS, WIDE, NARROW), True),
        ((512, WIDE, 128), False),  # not narrow beside 256
        ((16, 2048, NARROW), False),  # few rows
        ((32, WIDE, NARROW), False),  # a small product
        ((2048, 2048, 512), False),  # too much to transpose
    ],
)
def test_which_gradients_are_turned(sizes, expected) -> None:
    assert is_turned(*sizes) == expected


def test_the_gradients_of_a_narrow_linear_map() -> None:
    x, w, g, x64, w64, g64 = product()
    y, pull = jax.vjp(jax.jit(F.linear), x, w)
    dx, dw = pull(jnp.asarray(g))
    for a, b in ((y, x64 @ w64), (dx, g64 @ w64.T), (dw, x64.T @ g64)):
        close(a, b)


def test_a_narrow_linear_map_in_forward_mode_and_twice() -> None:
    x, w, _, x64, w64, _ = product()
    dw = normal(WIDE, NARROW)
    close(jax.jvp(lambda w: F.linear(x, w), (w,), (dw,))[1], x64 @ dw.astype(np.float64))

    def energy(w):
        return jnp.sum(F.linear(x, w) ** 3) / 6

    product_of_hessian = jax.jvp(jax.grad(energy), (w,), (dw,))[1]
    close(product_of_hessian, x64.T @ ((x64 @ w64) * (x64 @ dw.astype(np.float64))))


def test_narrow_linear_maps_side_by_side() -> None:
    x, weights = normal(3, ROWS, WIDE), normal(3, WIDE, NARROW)
    gradients = jax.vmap(jax.grad(lambda w, x: (F.linear(x, w) ** 2).sum() / 2))(weights, x)
    x64, w64 = x.astype(np.float64), weights.astype(np.float64)
    close(gradients, np.einsum("brw,brn->bwn", x64, x64 @ w64))


@pytest.mark.parametrize("slow", [True, False])
@pytest.mark.parametrize(("batch", "stride"), [(2, 1), (2, 2), (32, 1)])  # 32 have a weight gradient of their own
def test_a_convolution_from_three_channels_to_32(batch, stride, slow, monkeypatch) -> None:
    """Three channels are slow in some versions of jax, so a fourth of zeros joins them; here with and without."""
    monkeypatch.setattr(conv_rules, "SLOW_IF_ODD", slow)
    x, w = normal(batch, 9, 8, 3), normal(3, 3, 3, 32)
    assert ("pad[" in str(jax.make_jaxpr(lambda x, w: F.conv2d(x, w, stride=stride))(x, w))) == slow
    check_convolution(x, w, stride)


@pytest.mark.parametrize("idle", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("batch", "channels"), [(2, (32, 33)), (33, (32, 32)), (2, (31, 32)), (1, (32, 32))])
def test_a_convolution_where_ynnpack_leaves_cores_idle(batch, channels, stride, idle, monkeypatch) -> None:
    """From 32 channels and 512 places on, the output is Eigen's there, and the input's gradient but for strides."""
    monkeypatch.setattr(conv_rules, "IN_ONE_THREAD", idle)
    x, w = normal(batch, 17, 16, channels[0]), normal(3, 3, *channels)
    gradient = jax.grad(lambda x: jnp.sum(F.conv2d(x, w, stride=stride)))
    spread = (1 + (stride == 1)) * (idle and batch > 1 and min(channels) >= 32)
    assert str(jax.make_jaxpr(gradient)(x)).count("rhs_dilation=(1, 2)") == spread
    check_convolution(x, w, stride)


@pytest.mark.parametrize(
    ("channels", "own"), [((16, 16), False), ((3, 16), True), ((3, 8), False), ((32, 64), True), ((32, 63), False)]
)
def test_which_convolutions_have_a_weight_gradient_of_their_own(channels, own, monkeypatch) -> None:
    monkeypatch.setattr(conv_rules, "IN_ONE_THREAD", False)
    monkeypatch.setattr(conv_rules, "CORES", 1)
    x, w = normal(32, 9, 8, channels[0]), normal(3, 3, *channels)
    gradient = jax.grad(lambda w: jnp.sum(F.conv2d(x, w)))
    assert ("rhs_dilation=(1, 2)" in str(jax.make_jaxpr(gradient)(w))) == own
    check_convolution(x, w, 1)


def test_a_dilated_convolution_where_ynnpack_leaves_cores_idle(monkeypatch) -> None:
    monkeypatch.setattr(conv_rules, "IN_ONE_THREAD", True)
    draw = np.random.default_rng(1)  # of its own: sines of rounded sums differ by what was drawn
    x, dx = (draw.normal(size=(2, 18, 17, 32)).astype(np.float32) for _ in range(2))
    w, dw = (draw.normal(size=(3, 3, 32, 32), scale=288**-0.5).astype(np.float32) for _ in range(2))
    arrays = (x, w, dx, dw)
    naive = partial(
        lax.conv_general_dilated, window_strides=(1, 1), padding=((1, 1), (2, 2)), rhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip

    def orders(conv, x, w, dx, dw):
        def tangent(x, w):
            return jax.jvp(lambda x, w: jnp.sin(conv(x, w)), (x, w), (dx, dw))[1]

        return tangent(x, w), jax.grad(lambda x, w: jnp.sum(tangent(x, w) ** 2), (0, 1))(x, w)

    own = partial(F.conv2d, padding=(1, 2), dilation=2)
    assert "rhs_dilation=(2, 4)" in str(jax.make_jaxpr(own)(*arrays[:2]))
    found = orders(own, *map(jnp.asarray, arrays))
    with jax.enable_x64(True):
        expected = orders(naive, *(jnp.asarray(a, jnp.float64) for a in arrays))
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            close(np.asarray(a), np.asarray(b))


def check_convolution(x, w, stride) -> None:
    """Holds a convolution of 3 x 3 and its gradients against sums over windows in float64."""
    windows = sliding_window_view(x.astype(np.float64), (3, 3), (1, 2))[:, ::stride, ::stride]
    y, pull = jax.vjp(lambda x, w: F.conv2d(x, w, stride=stride), x, w)
    g = normal(*y.shape)
    dx, dw = pull(jnp.asarray(g))
    close(y, np.einsum("nhwcij,ijco->nhwo", windows, w.astype(np.float64)))
    close(dw, np.einsum("nhwcij,nhwo->ijco", windows, g.astype(np.float64)))
    expected = np.zeros(x.shape)
    for i in range(3):
        for j in range(3):
            rows, columns = (slice(k, k + stride * n, stride) for k, n in zip((i, j), y.shape[1:3], strict=True))
            expected[:, rows, columns] += g.astype(np.float64) @ w[i, j].astype(np.float64).T
    close(dx, expected)


def test_attention_over_many_keys_of_few_features() -> None:
    """Keys and values get their gradients the other way round."""
    arrays = [normal(2, 130, 2, 8) for _ in range(3)]

    def loss(q, k, v):
        return jnp.sum(jnp.sin(F.scaled_dot_product_attention(q, k, v, is_causal=True)))

    fast = jax.jit(jax.grad(loss, (0, 1, 2)))(*arrays)
    for a, b in zip(fast, attention_gradients(*(a.astype(np.float64) for a in arrays)), strict=True):
        close(a, b)


def attention_gradients(q, k, v):
    """Of the sum of the sines of causal attention, by hand."""
    q, k, v = (a.swapaxes(1, 2) for a in (q, k, v))
    scale = q.shape[-1] ** -0.5
    scores = np.where(np.tri(q.shape[2], dtype=bool), q @ k.swapaxes(2, 3) * scale, -np.inf)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    g = np.cos(p @ v)
    ds = g @ v.swapaxes(2, 3)
    ds = p * (ds - (ds * p).sum(-1, keepdims=True)) * scale
    return [a.swapaxes(1, 2) for a in (ds @ k, ds.swapaxes(2, 3) @ q, p.swapaxes(2, 3) @ g)]


@pytest.mark.parametrize("key", [jax.random.key(1), jax.random.key(1, impl="rbg"), jax.random.PRNGKey(1)])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_no_part_of_a_mask_repeats_another(key, p) -> None:
    """A hash serves up to eight elements, an eighth of a row apart."""
    mask = np.asarray(F.dropout(jnp.ones((2000, 64)), p, key=key)) != 0
    assert abs(mask.mean() - (1 - p)) < 4 * np.sqrt(p * (1 - p) / mask.size)
    correlation = np.corrcoef(mask.reshape(2000, 8, 8).swapaxes(0, 1).reshape(8, -1)) - np.eye(8)
    assert np.abs(correlation).max() < 5 / np.sqrt(16_000)  # five standard deviations


NORMS = {
    "layer_norm": (lambda x, w, b: F.layer_norm(x, 6, w, b), (1,), True),
    "rms_norm": (lambda x, w, b: F.rms_norm(x, 6, w, 1e-5), (1,), False),
    "instance_norm": (lambda x, w, b: F.instance_norm(x, 1, weight=w, bias=b)[0], (0,), True),
}


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_differentiated_by_some_of_its_arguments(name) -> None:
    """The rule leaves out what is not asked for; it must not leave out more."""
    norm, axes, centred = NORMS[name]
    arrays = normal(5, 6), normal(6), normal(6)
    x64, w64, b64 = (a.astype(np.float64) for a in arrays)
    kept = {"axis": axes, "keepdims": True}
    centre = x64 - x64.mean(**kept) * centred
    inverse = 1 / np.sqrt((centre**2).mean(**kept) + 1e-5)
    hat = centre * inverse
    g = np.cos(hat * w64 + b64 * centred)
    gw = g * w64
    dx = inverse * (gw - gw.mean(**kept) * centred - hat * (gw * hat).mean(**kept))
    expected = dx, (g * hat).sum(0), g.sum(0)

    def loss(*arrays):
        return jnp.sum(jnp.sin(norm(*arrays)))

    for which in [(0,), (1,), (0, 1), *([(2,), (1, 2), (0, 1, 2)] if centred else [])]:
        for i, gradient in zip(which, jax.jit(jax.grad(loss, which))(*arrays), strict=True):
            close(gradient, expected[i])
    # Of degree 1 in w and b, and of degree 0 in x but for eps.
    tangent = jax.jvp(norm, arrays, arrays)[1]
    close(tangent, hat * w64 * (1 + 1e-5 * inverse**2) + b64 * centred)


def test_the_layer_norm_of_a_model_keeps_its_second_derivatives() -> None:
    layer = jseq.layer_norm(6)
    x = jnp.asarray(normal(3, 6))
    params = layer.init(jax.random.key(0))

    def slope(x, params, apply):
        return jnp.sum(jnp.cos(jax.grad(lambda x: jnp.sum(jnp.sin(2 * apply(params, x))))(x)))

    def plain(params, x):
        centre = x - x.mean(-1, keepdims=True)
        hat = centre / jnp.sqrt((centre**2).mean(-1, keepdims=True) + 1e-5)
        return hat * params["weight"].reshape(1, 6) + params["bias"].reshape(1, 6)

    with jax.enable_x64(True):
        double = jax.tree.map(lambda a: jnp.asarray(np.asarray(a, np.float64)), (x, params))
        expected = jax.grad(slope)(*double, plain)
    close(jax.grad(slope)(x, params, layer.apply), expected, 1e-4)  # float32, differentiated twice
