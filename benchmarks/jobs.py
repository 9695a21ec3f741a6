"""What a library hands to the worker: a job, which can take a training step and evaluate. Helpers for those on JAX."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import workloads


@dataclass
class Job:
    """One workload of one library, ready to run.

    Attributes:
        step: takes one training step, keeps what it changes, and returns the loss without waiting for it.
        forward: evaluates the batch and returns the output without waiting.
        parameters: how many numbers are trained.
        lower: traces the step anew: `jitted.trace(*args)` or `jitted.lower(*args)`; None where there is nothing to see.
        wait: blocks until a result is there.
        array: a result as a numpy array.
        note: why the output cannot equal the others', where it cannot.
    """

    step: Callable[[], Any]
    forward: Callable[[], Any]
    parameters: int
    lower: Callable[[], Any] | None = None
    wait: Callable[[Any], Any] | None = None
    array: Callable[[Any], np.ndarray] = np.asarray
    note: str = ""


Apply = Callable[[Any, Any, Any, Any, bool], tuple[Any, Any]]  # (params, state, x, key, train) -> y, state


def loss_of(workload: str) -> Callable[[Any, Any], Any]:
    """Cross-entropy, or the mean square for chains."""
    import jax
    import jax.numpy as jnp

    def cross_entropy(logits: Any, y: Any) -> Any:
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[..., None], -1))

    return (lambda y, target: jnp.mean((y - target) ** 2)) if workload.startswith("chain") else cross_entropy


def is_random(workload: str) -> bool:
    """Whether the workload has dropout."""
    return workload in ("cnn", "vmap", "transformer", "gpt2")


def count(params: Any) -> int:
    """How many numbers a tree holds."""
    import jax

    return sum(getattr(leaf, "size", 0) for leaf in jax.tree.leaves(params))


def jax_batch(workload: str) -> tuple[Any, Any]:
    """The batch as JAX arrays."""
    import jax.numpy as jnp

    return tuple(jnp.asarray(a) for a in workloads.batch_of(workload))  # pyright: ignore


def descend(params: Any, grads: Any) -> Any:
    """Plain stochastic gradient descent, by hand."""
    import jax

    return jax.tree.map(lambda p, g: p - workloads.RATE * g, params, grads)


def functional(
    workload: str, apply: Apply, params: Any, state: Any = (), *, by_hand: bool = False, batch: Any = None
) -> Job:
    """The job of a library whose models are functions of params and state: `jax.jit`, `jax.value_and_grad`, optax.

    The key of a step is folded inside from the number of steps taken, for those workloads that draw. An ensemble's
    `apply` is that of all members.
    """
    import jax

    x, y = batch or jax_batch(workload)
    objective, random = whole(apply, workload), is_random(workload)
    start, update = (lambda params: (), by_hand_update) if by_hand else optax_sgd()

    def step(carry: Any, x: Any, y: Any) -> Any:
        params, state, memory, *taken = carry
        key = jax.random.fold_in(jax.random.key(0), taken[0]) if random else None
        (value, state), grads = jax.value_and_grad(objective, has_aux=True)(params, state, x, y, key)
        params, memory = update(params, grads, memory)
        return (params, state, memory, *(i + 1 for i in taken)), value

    carry = (params, state, start(params), *([jax.numpy.int32(0)] if random else []))
    return carrying(jax.jit(step), carry, x, y, evaluation(workload, apply), lambda carry: carry[:2])


def narrow(apply: Apply) -> Apply:
    """The same in bfloat16: params and inputs are cast, gradients and the params that are kept stay float32."""
    import jax
    import jax.numpy as jnp

    def cast(tree: Any) -> Any:
        return jax.tree.map(lambda a: a.astype(jnp.bfloat16) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)

    def narrowed(params: Any, state: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
        y, state = apply(cast(params), state, cast(x), key, train)
        return y.astype(jnp.float32), state

    return narrowed


def evaluation(workload: str, apply: Apply) -> Callable[[Any, Any, Any], Any]:
    """The jitted evaluation `y = f(params, state, x)`; for `vmap`, of images one by one, each a batch of one."""
    import jax

    def evaluate(params: Any, state: Any, x: Any) -> Any:
        return apply(params, state, x, None, False)[0]

    def one(params: Any, state: Any, x: Any) -> Any:
        return evaluate(params, state, x[None])[0]

    return jax.jit(jax.vmap(one, (None, None, 0)) if workload == "vmap" else evaluate)


def carrying(step: Any, carry: Any, x: Any, y: Any, forward: Any, parts: Callable[[Any], tuple[Any, ...]]) -> Job:
    """A job around `carry, loss = step(carry, x, y)` and `forward(*parts(carry), x)`; both jitted."""
    import jax

    first = carry

    def run() -> Any:
        nonlocal carry
        carry, value = step(carry, x, y)
        return value

    def evaluate() -> Any:
        return forward(*parts(first), x)  # of the initial values, which is what the others can be held against

    trace = getattr(step, "trace", None) or step.lower
    return Job(run, evaluate, count(parts(first)[0]), lambda: trace(first, x, y), jax.block_until_ready)


def by_hand_update(params: Any, grads: Any, memory: Any) -> tuple[Any, Any]:
    """One step of descent, in the form of `optax_sgd`."""
    return descend(params, grads), memory


def optax_sgd() -> tuple[Any, Any]:
    """Plain stochastic gradient descent of optax: `memory = start(params)`, `params, memory = update(...)`."""
    import optax

    optimiser = optax.sgd(workloads.RATE)

    def update(params: Any, grads: Any, memory: Any) -> tuple[Any, Any]:
        updates, memory = optimiser.update(grads, memory, params)
        return optax.apply_updates(params, updates), memory

    return optimiser.init, update


def whole(apply: Apply, workload: str) -> Callable[[Any, Any, Any, Any, Any], tuple[Any, Any]]:
    """The objective of a workload: `loss, state = f(params, state, x, y, key)`; an ensemble's is the members' sum."""
    import jax

    loss = loss_of(workload)

    def objective(params: Any, state: Any, x: Any, y: Any, key: Any) -> tuple[Any, Any]:
        out, state = apply(params, state, x, key, True)
        return (jax.vmap(loss, (0, None))(out, y).sum() if workload == "ensemble" else loss(out, y)), state

    return objective


def stacked_members(trees: list[Any]) -> Any:
    """The trees of the members of an ensemble as one tree with a leading axis."""
    import jax
    import jax.numpy as jnp

    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def over_members(apply: Apply) -> Apply:
    """The `apply` of an ensemble: one call for all members, by `jax.vmap` over their params."""
    import jax

    def together(params: Any, state: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
        return jax.vmap(lambda p: apply(p, state, x, key, train)[0])(params), state

    return together
