"""Cases of jseq/_combinators/precision.py and layout.py."""

import jax.numpy as jnp
import numpy as np

import jseq
from tests.case import Case, floats, ints

X = floats(4, 5)
IMAGES = floats(2, 3, 5, 4)  # (N, C, H, W)
NET = jseq.sequential(jseq.linear(5, 6), jseq.batch_norm(6), jseq.tanh(), jseq.dropout(0.5))


def affine(params, x):
    return x @ params["weight"] + params["bias"]


def pointwise(params, x):
    """A convolution of window 1 over axis 1."""
    y = np.tensordot(x, params["weight"].reshape(params["weight"].shape[-2:]), (1, 0))
    return np.moveaxis(y + params["bias"], -1, 1)


SWAP = jseq.permute((-2, -1, -3))

CASES = [
    Case(
        jseq.cast("float32"), X, smooth=False,
        variants=(
            Case(jseq.cast("float64"), X, reference=lambda p, x: x),
            Case(jseq.cast("float64"), (X, ints(9, 4)), reference=lambda p, x: x),
        ),
    ),
    Case(
        jseq.in_dtype(NET, "float32"), X, smooth=False,
        variants=(
            Case(jseq.in_dtype(jseq.linear(5, 3), "float64"), X, reference=affine),
            Case(jseq.in_dtype(jseq.linear(5, 3), "float32"), X, reference=affine, tolerance=1e-5, reason="float32"),
            Case(jseq.in_dtype(jseq.linear(None, 3), "bfloat16"), X, reference=affine, tolerance=0.1, reason="8 bits"),
        ),
    ),
    Case(
        jseq.channels_first(jseq.sequential(jseq.conv2d(3, 4, 3), jseq.batch_norm(4), jseq.dropout2d(0.5))), IMAGES,
        variants=(
            Case(jseq.channels_first(jseq.conv2d(3, 4, 1)), IMAGES, reference=pointwise),
            Case(jseq.channels_first(jseq.conv2d(None, 4, 1)), IMAGES, reference=pointwise),
            Case(jseq.channels_first(jseq.conv1d(3, 4, 1), 1), floats(2, 3, 5), reference=pointwise),
            Case(jseq.channels_first(jseq.conv3d(3, 4, 1), 3), floats(2, 3, 2, 5, 4), reference=pointwise),
            Case(
                jseq.channels_first(jseq.global_avg_pool2d(), output="features"), IMAGES,
                reference=lambda p, x: x.mean((2, 3)),
            ),
        ),
    ),
    Case(
        jseq.adapt(jseq.sequential(jseq.conv2d(3, 4, 3), jseq.batch_norm(4), jseq.dropout2d(0.5)), SWAP), IMAGES,
        variants=(
            Case(jseq.adapt(jseq.conv2d(None, 4, 1), SWAP, jseq.permute((-1, -3, -2))), IMAGES, reference=pointwise),
            Case(jseq.adapt(jseq.linear(5, 3), None, jnp.tanh), X, reference=lambda p, x: np.tanh(affine(p, x))),
            Case(
                jseq.adapt(jseq.linear(5, 5), jseq.softplus()), X,
                reference=lambda p, x: affine(p, np.logaddexp(x, 0)),
            ),
        ),
    ),
]  # fmt: skip
