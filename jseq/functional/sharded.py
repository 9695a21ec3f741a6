"""What an array's type says of its place on a mesh of explicit axes."""

from typing import Any

import jax
from jax import lax


def split_axes(x: jax.Array) -> tuple[bool, ...]:
    """Which axes of x are split over a mesh of explicit axes; JAX refuses to merge or to cut such axes."""
    return tuple(name is not None for name in jax.typeof(x).sharding.spec)


def on_mesh(*arrays: jax.Array) -> bool:
    """Whether one lives on a mesh that its type names: one that it was put on, or that of `jax.shard_map`."""
    return any(not jax.typeof(x).sharding.mesh.empty for x in arrays)


def varying_alike(tree: Any, *others: Any) -> Any:
    """Gives the arrays, of types that say that they differ over all axes of `jax.shard_map` that any of these does.

    What starts a loop must have the type of what the loop makes of it, and JAX does not see to that by itself.
    """
    axes = frozenset[str]().union(*map(_varying, jax.tree.leaves((tree, others))))
    return jax.tree.map(lambda a: _cast(a, tuple(axes - _varying(a))), tree) if axes else tree


def _varying(x: Any) -> frozenset[str]:
    return jax.typeof(x).manual_axis_type.varying if isinstance(x, jax.Array) else frozenset()


def _cast(x: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    return lax.pcast(x, axes, to="varying") if axes else x
