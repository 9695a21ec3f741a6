"""Models as programs: `export` writes the evaluation of a model as bytes; exported.py makes a function of them."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export

from jseq._core import calls
from jseq._interop.exported import seal
from jseq._interop.extras import need
from jseq.core import Layer, with_state
from jseq.errors import CallError, DtypeError, ExportError, OptionError, ParamsError, describe
from jseq.functional import plain_attention

CALL = "jseq.export(model, params, x=x), or jseq.export(model, params, state, x) for a model that keeps state"


def export(
    model: Layer,
    params: Any,
    state: Any = None,
    x: Any = None,
    *,
    context: Mapping[str, Any] | None = None,
    bake: bool = True,
    platforms: tuple[str, ...] = ("cpu", "cuda", "tpu"),
    shapes: Any = "b, ...",
    context_shapes: Any = "b, ...",
    constraints: tuple[str, ...] = (),
    vjp_order: int = 0,
) -> bytes:
    """Writes the evaluation of a model as a program in bytes: `y = apply(params, x)`, compiled where it is loaded.

    What loads it needs JAX, and neither the model's code nor jseq: `jseq.load_export` checks the bytes first,
    `jax.export.deserialize(data).call(x)` does without. JAX loads a program for at least six months after it was
    written, in the JAX that wrote it and in newer ones, not in older ones.

    Args:
        model: the model.
        params: its params; with `bake=False` shapes are enough (`jax.ShapeDtypeStruct`).
        state: its state, if the caller threads state. Evaluation reads it, and the program returns y alone.
        x: an example input, or its shape: an array, a `jax.ShapeDtypeStruct`, or a tree of them.
        context: example side inputs, which the program takes by the same names.
        bake: whether params and state become constants of the program, which then takes `(x)`; without it takes
            `(params, x)`, or `(params, state, x)` if state was given.
        platforms: where it is to run, of "cpu", "cuda", "rocm" and "tpu".
        shapes: which sizes of x stay open, in the words of `jax.export.symbolic_shape`: "b, ..." leaves axis 0
            open, "b, t, 64" two axes; `_` takes the size from x. One string for every array, or a tree like x, where
            None fixes all sizes of an array. `shapes=None` fixes all sizes.
        context_shapes: the same for the context, as `{"mask": "b, t"}`.
        constraints: what is known of open sizes, as ("t >= 2", "t <= 512").
        vjp_order: how often the loaded program can be differentiated.

    Returns:
        The program, for `Path.write_bytes` or `jseq.load_export`.

    Raises:
        ExportError: the model needs a number where the size is open.
        CallError, DtypeError, OptionError, ParamsError: a call that cannot work.
        ImportError: flatbuffers is missing; it comes with the extra "export".

    Follows `jax.export.export` and `torch.export.export`.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.sequential(jseq.linear(4, 8), jseq.relu(), jseq.linear(8, 2))
        >>> data = jseq.export(model, model.init(jax.random.key(0)), x=jnp.ones((1, 4)))
        >>> jseq.load_export(data)
        <exported (float32[b,4]) -> float32[b,2] for cpu, cuda, tpu>
        >>> jseq.load_export(data)(jnp.ones((5, 4))).shape
        (5, 2)
    """
    need("flatbuffers", "export")
    check(model, state, x, platforms)
    x, context = jax.tree.map(as_shape, (x, context), is_leaf=lambda leaf: isinstance(leaf, list))
    run, weights = program(model, params, state, bake)
    options: dict[str, Any] = {} if context is None else {"context": context}
    arguments = (*weights, x)
    open_arguments, open_options = opened(arguments, options, shapes, context_shapes, constraints)
    try:
        with plain_attention():  # JAX promises months of nothing that cuDNN gets
            exported = jax_export.export(jax.jit(run), platforms=platforms)(*open_arguments, **open_options)
    except Exception as error:
        needs_numbers = works(run, arguments, options) and not works(run, open_arguments, open_options)
        if needs_numbers:
            raise unfit((open_arguments[-1], *open_options.values()), error) from error
        raise
    return seal(bytes(exported.serialize(vjp_order=vjp_order)), constraints)


def check(model: Any, state: Any, x: Any, platforms: Any) -> None:
    """Refuses calls that cannot work."""
    if not isinstance(model, Layer):
        raise CallError(f"export takes a jseq layer, got {model!r:.60}. The call that works: {CALL}.")
    if x is None:
        raise CallError(f"expected x, an example input or its shape, got None. The call that works: {CALL}.")
    if state is None and model.keeps_state:
        keepers = ", ".join(f"{brief} at {path!r}" if path else brief for path, brief in calls.state_keepers(model))
        raise CallError(f"{keepers} keeps state. The call that works: jseq.export(model, params, state, x).")
    if isinstance(platforms, str) or not platforms or "gpu" in platforms:
        raise OptionError('platforms is a tuple of "cpu", "cuda", "rocm" and "tpu", '
                          f'got {platforms!r}. The call that works: platforms=("cpu", "cuda").')  # fmt: skip


def as_shape(leaf: Any) -> jax.ShapeDtypeStruct:
    """Reads shape and dtype of an array or a shape."""
    if not (hasattr(leaf, "shape") and hasattr(leaf, "dtype")):
        raise DtypeError(f"export reads shapes from arrays, got {describe(leaf)}. "
                         "The call that works: jseq.export(model, params, x=jnp.asarray(x)).")  # fmt: skip
    return jax.ShapeDtypeStruct(leaf.shape, jax.dtypes.canonicalize_dtype(leaf.dtype, allow_extended_dtype=True))


def opened(arguments: Any, options: Any, shapes: Any, context_shapes: Any, constraints: tuple[str, ...]) -> Any:
    """Puts names where sizes stay open: in x, which comes last, and in the context."""
    x, weights = arguments[-1], arguments[:-1]
    wanted = (*(None for _ in weights), shapes), dict.fromkeys(options, context_shapes)
    try:
        made = jax_export.symbolic_args_specs((arguments, options), wanted, constraints=constraints)
        ranks = [len(leaf.shape) for leaf in jax.tree.leaves((arguments, options))]
        if ranks != [len(leaf.shape) for leaf in jax.tree.leaves(made)]:
            raise ValueError("it has another number of axes")
    except ValueError as error:
        given, arrays = f"shapes={shapes!r}", describe(x)
        if options:
            given, arrays = f"{given}, context_shapes={context_shapes!r}", f"{arrays}, {describe(options['context'])}"
        raise OptionError(
            f"{given} does not fit {arrays}: {str(error).rstrip('.')}. "
            'Write it as "b, ...", or as a tree like the arrays that it is for.'
        ) from None
    return made


def program(model: Layer, params: Any, state: Any, bake: bool) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The function to export, and the shapes of the weights that it takes."""
    apply = with_state(model).apply
    given = (params,) if state is None else (params, state)
    if not bake:

        def evaluate(*arguments: Any, context: Any = None) -> Any:
            *trees, x = arguments
            return apply(trees[0], trees[1] if state is not None else None, x, context=context)[0]

        return evaluate, jax.tree.map(as_shape, given)

    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(given)):
        raise ParamsError("shapes have no values to bake. The call that works: jseq.export(..., bake=False).")
    # By way of the host: constants of a program lie on no device, so sharded arrays cannot be among them.
    values = jax.tree.map(jnp.asarray, jax.device_get((params, state)))

    def evaluate_baked(x: Any, context: Any = None) -> Any:
        return apply(*values, x, context=context)[0]

    return evaluate_baked, ()


def works(run: Callable[..., Any], arguments: Any, options: Any) -> bool:
    """Whether a function can be traced at all with these shapes."""
    try:
        jax.eval_shape(run, *arguments, **options)
    except Exception:  # Whatever it is: the question is only whether there is one.
        return False
    return True


def unfit(shapes: tuple[Any, ...], error: Exception) -> ExportError:
    """Says that a model needs numbers where the shapes are open, and what to do."""
    reason = str(error).strip().partition("\n")[0].rstrip(".")
    return ExportError(
        f"the model cannot be exported for {', '.join(describe(shape) for shape in shapes)} with sizes left open: "
        f"{reason}. To fix all of them: jseq.export(..., shapes=None, context_shapes=None); to fix those of one array: "
        'a tree like x, as shapes=("b, ...", None); to bound one: constraints=("t >= 2",).'
    )
