"""Operations that are linear in each of two arrays, and whose derivatives have forms of their own."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

Form = Callable[[jax.Array, jax.Array], jax.Array]


class Terms(NamedTuple):
    """The forms of one operation: for its value, and for the terms of the product rule."""

    output: Form
    by_input: Form
    by_weight: Form


@partial(jax.custom_jvp, nondiff_argnums=(2,))
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
    return y, sum(moved[1:], moved[0]) if moved else jnp.zeros_like(y)


in_terms.defjvp(_in_terms_jvp, symbolic_zeros=True)
