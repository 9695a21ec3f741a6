"""Operations that are linear, in one array or in each of two, so that JAX need not find their derivatives."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

Form = Callable[[jax.Array, jax.Array], jax.Array]


class Terms(NamedTuple):
    """The forms of one operation: for its value, and for the terms of the product rule."""

    output: Form
    by_input: Form
    by_weight: Form


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def in_terms(x: jax.Array, weight: jax.Array, terms: Terms) -> jax.Array:
    """Gives `terms.output(x, weight)`; its gradients are the transposes of the other two."""
    return terms.output(x, weight)


def _in_terms_jvp(
    terms: Terms, primals: tuple[jax.Array, jax.Array], tangents: tuple[Any, Any]
) -> tuple[jax.Array, jax.Array]:
    (x, weight), (dx, dw) = primals, tangents
    moved: list[jax.Array] = []
    if not isinstance(dx, SymbolicZero):
        moved.append(terms.by_input(dx, weight))
    if not isinstance(dw, SymbolicZero):
        moved.append(terms.by_weight(x, dw))
    y = in_terms(x, weight, terms)
    return y, functools.reduce(lax.add, moved) if moved else jnp.zeros_like(y)


in_terms.defjvp(_in_terms_jvp, symbolic_zeros=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def linearly(x: jax.Array, function: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """Gives `function(x)`, linear in x and so its own derivative, for which JAX would go through all platforms."""
    return function(x)


@linearly.defjvp
def _linearly_jvp(
    function: Callable[[jax.Array], jax.Array], primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    return linearly(primals[0], function), linearly(tangents[0], function)
