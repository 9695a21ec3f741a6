"""Spectral norm: weights divided by their largest singular value."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jseq._combinators import paths
from jseq._combinators.children import Children
from jseq._layers.options import at_least
from jseq.core import Layer, layer
from jseq.errors import OptionError, ShapeError, describe, expect_float
from jseq.functional.drawing import drawn
from jseq.functional.sharded import varying_alike

WARM_UP = 15  # steps of power iteration at init, as torch.nn.utils.parametrizations.spectral_norm makes them


@layer
def power_iteration(n_power_iterations: int = 1, eps: float = 1e-12, dim: int = -1):
    """Divides a matrix by its largest singular value: `y = W / sigma`, `sigma = u^T W v`, u and v estimated.

    In training, `n_power_iterations` steps `u = W v / |W v|`, `v = W^T u / |W^T u|` move the estimates, through
    which no gradient passes. In evaluation they stay. It is the normalising half of `spectral_norm`.

    Args:
        n_power_iterations: steps in each call in training.
        eps: the least length that is divided by.
        dim: the axis that u goes along; the others are flattened to the other side of the matrix.

    Input: one array of two axes or more, floating; there are no batch axes.
    Output: the same shape and dtype.
    Params: none, `()`.
    State: `u (shape[dim],)`, `v` (the product of the other sizes): singular vectors of length 1.

    Raises:
        ShapeError: x has fewer than two axes; x is not given to `init`.
        DtypeError: x is not floating.
        OptionError: `n_power_iterations` below 1, or eps not above 0.

    Follows `torch.nn.utils.parametrizations.spectral_norm` (Miyato et al. 2018, arXiv:1802.05957).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> W = jnp.diag(jnp.array([4.0, 2.0]))
        >>> init, apply = jseq.with_state(jseq.power_iteration(20))
        >>> params, state = init(jax.random.key(0), W)
        >>> y, state = apply(params, state, W, train=True)
        >>> jnp.round(y, 3)
        Array([[1. , 0. ],
               [0. , 0.5]], dtype=float32)
    """
    at_least(1, n_power_iterations=n_power_iterations)
    if not eps > 0:
        raise OptionError(f"expected eps above 0, got {eps!r}.")

    def init(key: Any, x: Any) -> tuple[tuple[()], dict[str, jax.Array]]:
        if x is None:
            raise ShapeError("the sizes of u and v are inferred from x. The call that works: init(key, x).")
        height, width = jax.eval_shape(lambda x: as_matrix(x, dim), x).shape
        sizes = enumerate((height, width))
        u, v = (drawn(jax.random.normal, jax.random.fold_in(key, i), (size,)) for i, size in sizes)
        return (), {"u": unit(u, eps), "v": unit(v, eps)}

    def apply(params: tuple[()], state: dict[str, jax.Array], x: jax.Array, train: bool) -> tuple[Any, Any]:
        expect_float(x)
        matrix = as_matrix(x, dim)
        matrix = matrix.astype(jnp.float32) if matrix.dtype.itemsize < 4 else matrix
        u, v = (state[name].astype(matrix.dtype) for name in "uv")
        u, v = iterate(matrix, u, v, n_power_iterations if train else 0, eps)
        sigma = jnp.dot(u, jnp.dot(matrix, v))
        new = {"u": u.astype(state["u"].dtype), "v": v.astype(state["v"].dtype)} if train else state
        return x / sigma.astype(x.dtype), new

    return init, apply


@layer
def spectral_norm(
    layer: Layer | Any, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int = -1
):
    """Divides a weight by its largest singular value: `y = f(weight / sigma, x)`, so that f stretches nothing.

    Sigma is estimated by power iteration: a step or more in each call in training, none in evaluation, 15 at `init`.

    Args:
        layer: the layer whose weight is divided.
        name: path of the weight in the layer.
        n_power_iterations: steps in each call in training.
        eps: the least length that is divided by.
        dim: the axis of the weight that is the output's: -1 for linear and convolution layers, as torch's dim=0 is.

    Input, Output, Context: those of the layer.
    Params: `layer` (its params), `spectral` (none).
    State: `layer` (its state), `spectral`: `u (weight.shape[dim],)`, `v` (the product of the other sizes).

    Raises:
        OptionError: a path that the layer does not have, or an option out of range.
        ShapeError: the weight has fewer than two axes.

    Follows `torch.nn.utils.parametrizations.spectral_norm` (Miyato et al. 2018, arXiv:1802.05957).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> init, apply = jseq.with_state(jseq.spectral_norm(jseq.linear(3, 2)))
        >>> params, state = init(jax.random.key(0))
        >>> y, state = apply(params, state, jnp.ones((4, 3)), train=True)
        >>> y.shape, state["spectral"]["u"].shape, state["spectral"]["v"].shape
        ((4, 2), (2,), (3,))
    """
    children = Children({"layer": layer, "spectral": power_iteration(n_power_iterations, eps, dim)})
    inside, spectral = children
    paths.check_declared(inside.layer, (name,))

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        params, state, _ = inside.init(key, x)
        weight = paths.get(params, name, OptionError)
        none, vectors, _ = spectral.init(key, jax.ShapeDtypeStruct(weight.shape, weight.dtype))
        u, v = iterate(as_matrix(weight, dim), vectors["u"], vectors["v"], WARM_UP, eps)
        return children.join([params, none]), children.join([state, {"u": u, "v": v}])

    def apply(
        params: Any, state: Any, x: Any, key: Any, train: bool, context: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        (_, p, s), (_, none, vectors) = children.zip(params, state)
        weight, vectors = spectral.apply(none, vectors, paths.get(p, name), train=train)
        y, s = inside.apply(paths.replace(p, name, weight), s, x, key=key, train=train, context=context)
        return y, children.join([s, vectors])

    return init, apply, children.layers


def as_matrix(weight: jax.Array, dim: int) -> jax.Array:
    """One axis in front, the others flattened behind it."""
    if weight.ndim < 2 or not -weight.ndim <= dim < weight.ndim:
        raise ShapeError(f"expected a weight of two axes or more, {dim} among them, got {describe(weight)}.")
    front = jnp.moveaxis(weight, dim, 0)
    return front.reshape(front.shape[0], -1)


def iterate(matrix: jax.Array, u: jax.Array, v: jax.Array, steps: int, eps: float) -> tuple[jax.Array, jax.Array]:
    """Steps of power iteration, through which no gradient passes."""
    fixed = jax.lax.stop_gradient(matrix).astype(u.dtype)
    if steps == WARM_UP:
        return warmed_up(fixed, *varying_alike((u, v), fixed), eps)
    for _ in range(steps):
        u, v = moved(fixed, v, eps)
    return u, v


@partial(jax.jit, static_argnames="eps")
def warmed_up(matrix: jax.Array, u: jax.Array, v: jax.Array, eps: float) -> tuple[jax.Array, jax.Array]:
    """Many steps, in a loop: XLA would draw the initial values of the matrix anew within each of them."""
    return jax.lax.fori_loop(0, WARM_UP, lambda _, vectors: moved(matrix, vectors[1], eps), (u, v))


def moved(matrix: jax.Array, v: jax.Array, eps: float) -> tuple[jax.Array, jax.Array]:
    """One step."""
    u = unit(jnp.dot(matrix, v), eps)
    return u, unit(jnp.dot(u, matrix), eps)


def unit(vector: jax.Array, eps: float) -> jax.Array:
    """The vector with length 1, as `torch.nn.functional.normalize` makes it."""
    return vector / jnp.maximum(jnp.sqrt(jnp.sum(vector * vector)), eps)
