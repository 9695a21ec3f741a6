"""What an array's type says of its place on a mesh of explicit axes."""

import jax


def split_axes(x: jax.Array) -> tuple[bool, ...]:
    """Which axes of x are split over a mesh of explicit axes; JAX refuses to merge or to cut such axes."""
    return tuple(name is not None for name in jax.typeof(x).sharding.spec)
