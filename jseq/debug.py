"""Looking for what went wrong in a model: `jseq.debug.find_nonfinite` and its like."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax

from jseq.core import Layer
from jseq.errors import CallError, describe

if TYPE_CHECKING:
    from jseq._tools.nonfinite import NonFinite


def find_nonfinite(
    model: Layer,
    params: Any,
    x: Any,
    *,
    state: Any = None,
    key: Any = None,
    train: bool = False,
    context: Mapping[str, Any] | None = None,
    loss: Callable[[Any], Any] | None = None,
) -> "NonFinite | None":
    """Finds the first layer that made NaN or inf of finite numbers, in the forward or the backward pass.

    In the forward pass: the first layer whose input is finite and whose output is not. If there is none, in the
    backward pass: the first layer that made a gradient of x or params that is not finite of one that is. It is the
    innermost such layer, also inside `repeat`, `ensemble` and other combinators, where it says which copy; the layers
    inside `recurrent` and `over_batch` are seen from outside. It compiles the model twice or three times.

    Args:
        model: the model.
        params: its params.
        x: an input.
        state: its state, if it keeps any.
        key, train, context: as in `apply`.
        loss: a function of y that gives one number, whose gradient is looked at; None is the sum of the outputs.

    Returns:
        A `NonFinite`: the layer, its path, what it was given, and, printed, the statistics of its input and params.
        None if all is finite.

    Raises:
        CallError: model is no layer, keeps state and none is given, or the arrays are those of a `jit` that is being
            traced (`report_nonfinite` works there).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.sequential({"fc": jseq.linear(2, 2), "root": jnp.sqrt, "head": jseq.linear(2, 1)})
        >>> params = model.init(jax.random.key(0))
        >>> params["fc"] = {"weight": jnp.eye(2), "bias": jnp.zeros(2)}
        >>> found = jseq.debug.find_nonfinite(model, params, jnp.array([4.0, -1.0]))
        >>> found.path, found.direction
        ('root', 'forward')
        >>> print(found)
        forward: jax.numpy.sqrt at "root" gave 1 NaN or inf for a finite input
           array       finite range  mean  std  NaN  inf
        ------------------------------------------------
        x  float32[2]  -1 .. 4        1.5  2.5    0    0
        ------------------------------------------------
    """
    from jseq._tools.finding import Search

    if not isinstance(model, Layer):
        raise CallError(f"find_nonfinite takes (model, params, x), got {describe(model)}.")
    if model.keeps_state and state is None:
        raise CallError("this model keeps state. The call that works: find_nonfinite(model, params, x, state=state).",
                        model.brief)  # fmt: skip
    call = {"key": key, "train": train, "context": context}
    try:
        return Search(model, params, state, x, call, loss).found()
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
        raise CallError("find_nonfinite looks at numbers: there are none while jit traces. The call that works: "
                        "jax.jit(jseq.debug.report_nonfinite(step)).", model.brief) from None  # fmt: skip


def report_nonfinite(function: Callable[..., Any], report: Callable[[str], Any] = print) -> Callable[..., Any]:
    """Has a function report the layers that make NaN or inf of finite numbers, and go on.

    `step = jax.jit(jseq.debug.report_nonfinite(step))`. Wherever the function applies models, compiled code calls
    back for each layer inside them, in the forward pass and in the backward pass of gradients; each layer is reported
    once in each direction. Combinators around a layer that is reported are reported too. Results are the same; every
    layer costs a call from the device to Python.

    Args:
        function: `model.apply`, a loss, a training step: what is given to `jax.jit`, not what it returned, whose code
            is compiled already.
        report: what is called with a line of text.

    Returns:
        A function of the same arguments and results. Its gradients are those of reverse mode: `jax.jvp` does not pass
        through it.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.sequential(jseq.scale(2), jnp.log)
        >>> apply = jax.jit(jseq.debug.report_nonfinite(model.apply))
        >>> y = jax.block_until_ready(apply(({"weight": jnp.ones(2)}, ()), jnp.array([1.0, 0.0])))
        forward: jax.numpy.log at "1" gave 1 NaN or inf: x 0 .. 1
    """
    from jseq._tools.reporting import reported

    if not callable(function) or isinstance(function, Layer):
        raise CallError(f"report_nonfinite takes a function such as model.apply, got {describe(function)}.")
    return reported(function, report)
