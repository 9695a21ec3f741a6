"""Reports of numbers that are not finite from inside compiled code, which goes on."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jseq._core import calls
from jseq._core.watching import watched_by
from jseq._tools.probes import count, floats, is_inexact, leaving, with_floats
from jseq.core import Layer


def extent(tree: Any) -> tuple[jax.Array, jax.Array]:
    """The least and the greatest finite real number of a tree, as float32; inf and -inf where there is none."""
    low, high = jnp.asarray(jnp.inf, jnp.float32), jnp.asarray(-jnp.inf, jnp.float32)
    for leaf in jax.tree.leaves(tree):
        if is_inexact(leaf) and leaf.size:
            real = jnp.real(leaf).astype(jnp.float32)
            fine = jnp.isfinite(real)
            low = jnp.minimum(low, jnp.min(jnp.where(fine, real, jnp.inf)))
            high = jnp.maximum(high, jnp.max(jnp.where(fine, real, -jnp.inf)))
    return low, high


class Reporter:
    """The watcher that has compiled code call back, and reports each layer once in each direction."""

    def __init__(self, report: Callable[[str], Any]):
        self.report = report
        self.said: set[tuple[str, str]] = set()

    def __call__(
        self, names: tuple[str, ...], layer: Layer, params: Any, state: Any, x: Any, *call: Any
    ) -> tuple[Any, Any]:
        path = ".".join(name for name in names if name)
        figures = jnp.stack([count(x), count(params), *extent(x), *extent(params)])
        backward = functools.partial(self.backward, layer.brief, path)
        noted: Any = noting(backward, floats(x), floats(params), jax.lax.stop_gradient(figures))
        xs, ps, thread = noted
        y, state = calls.run_apply(layer, with_floats(params, ps), state, with_floats(x, xs), *call)  # pyright: ignore
        jax.debug.callback(functools.partial(self.forward, layer.brief, path), figures, count(y))
        return with_floats(y, leaving(floats(y), thread)), state

    def forward(self, layer: str, path: str, figures: Any, y: Any) -> None:
        """Called by compiled code after a layer was applied."""
        if y and not figures[0]:
            self.say("forward", layer, path, f"gave {int(y)} NaN or inf", figures)

    def backward(self, layer: str, path: str, figures: Any, x: Any, params: Any, y: Any) -> None:
        """Called by compiled code after gradients passed a layer."""
        if (x or params) and not y:
            self.say("backward", layer, path, f"made {int(x + params)} NaN or inf in gradients", figures)

    def say(self, direction: str, layer: str, path: str, what: str, figures: Any) -> None:
        """Reports a layer, if it was not reported before."""
        if (direction, path) in self.said:
            return
        self.said.add((direction, path))
        bad, *ranges = [float(figure) for figure in figures[1:]]
        where = f' at "{path}"' if path else ""
        held = f"{int(bad)} not finite, the others " if bad else ""
        params = f", params {held}{ranges[2]:.4g} .. {ranges[3]:.4g}" if ranges[2] <= ranges[3] else ""
        self.report(f"{direction}: {layer}{where} {what}: x {ranges[0]:.4g} .. {ranges[1]:.4g}{params}")


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def noting(note: Callable[..., None], xs: Any, params: Any, figures: jax.Array) -> tuple[Any, Any, jax.Array]:
    """Passes on what a layer takes, and has the counts of the gradients that pass back noted."""
    return xs, params, jnp.zeros((), jnp.float32)


def noting_backward(note: Callable[..., None], figures: jax.Array, gradients: Any) -> tuple[Any, Any, jax.Array]:
    xs, params, given = gradients
    jax.debug.callback(note, figures, count(xs), count(params), given)
    return xs, params, jnp.zeros_like(figures)


noting.defvjp(lambda note, xs, params, figures: (noting(note, xs, params, figures), figures), noting_backward)


def reported(function: Callable[..., Any], report: Callable[[str], Any]) -> Callable[..., Any]:
    """The function with a reporter looking on."""
    watcher = Reporter(report)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with watched_by(watcher):
            return function(*args, **kwargs)

    return run
