"""Any wiring of named layers: what chains, branches and residuals cannot say."""

from collections.abc import Mapping
from typing import Any

import jax

from jseq._combinators.children import Child, Children
from jseq._core import calls, watching
from jseq._core.keys import child_key, stable_number
from jseq.core import Layer, layer
from jseq.errors import CallError, OptionError, describe, near_misses

Context = Mapping[str, Any] | None
INPUT = "x"  # the name of the graph's own input


@layer
def graph(layers: Mapping[str, Layer | Any], steps: Mapping[str, tuple[str, ...]]):
    """Applies named layers in steps, each to the values of earlier steps; the last value is the output.

    A step `value: (layer, *inputs)` applies a layer to one value, or to the tuple of several, and names the result.
    `"x"` is the input of the graph. So a layer may be used several times (its params are shared, its state goes
    through all uses in order) and a value may be read several times. A chain is plainer as `sequential`, a skip as
    `residual`.

    Args:
        layers: layers or functions by name. One that no step names keeps its params and is not applied.
        steps: the steps in order. A layer inside a combinator is named by its path: `"blocks.0"`.

    Input: what the first steps take; `select(i)` takes one entry of a tuple.
    Output: the value of the last step.
    Params: a dict with the names of the layers.
    State: the same container.
    Context: what the layers read.

    Raises:
        OptionError: no steps; a step names a layer or a value that is not there, or a value that is there already.
        CallError: a layer is no layer.
        ParamsError: params or state of another model.

    Keys of a step come from its value's name and from the layer's, so that adding a step changes no mask.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> block = jseq.graph(
        ...     {"fc1": jseq.linear(4, 4), "act": jseq.relu(), "fc2": jseq.linear(4, 4), "plus": jseq.add()},
        ...     {"h": ("fc1", "x"), "a": ("act", "h"), "b": ("fc2", "a"), "s": ("plus", "b", "x"), "y": ("act", "s")},
        ... )
        >>> block.apply(block.init(jax.random.key(0)), jnp.ones((2, 4))).shape
        (2, 4)
        >>> print(block)
        graph(
          (fc1): linear(in_features=4, out_features=4, bias=True)
          (act): relu()
          (fc2): linear(in_features=4, out_features=4, bias=True)
          (plus): add(broadcast=False)
          h = fc1(x)
          a = act(h)
          b = fc2(a)
          s = plus(b, x)
          y = act(s)
        )
    """
    if not isinstance(layers, Mapping):
        raise CallError(f"expected layers by name, got {describe(layers)}. The call that works: "
                        'graph({"fc": linear(4, 4)}, {"y": ("fc", "x")}).')  # fmt: skip
    children = Children(layers)
    check_steps(children, steps)

    def init(key: jax.Array, x: Any) -> tuple[Any, Any]:
        shapes, made = {INPUT: x}, dict[str, tuple[Any, Any]]()
        for value, (name, *inputs) in steps.items():
            child, own = place(children, name, key)
            given = gathered(shapes, inputs)
            if name in made:
                shapes[value] = None if given is None else calls.shapes(child.layer, given)[2]
            else:
                params, state, shapes[value] = child.init(own, given)
                made[name] = params, state
        return assembled(children, made, key)

    def apply(params: Any, state: Any, x: Any, key: Any, train: bool, context: Context) -> tuple[Any, Any]:
        values, last = {INPUT: x}, x
        for value, (name, *inputs) in steps.items():
            own = key if key is None else child_key(key, stable_number(value))
            given = gathered(values, inputs)
            last, state = run(children, name.split("."), params, state, given, own, train, context)
            values[value] = last
        return last, state

    return init, apply, children.layers


def check_steps(children: Children, steps: Any) -> None:
    """Refuses steps that name what is not there."""
    if not isinstance(steps, Mapping) or not steps:
        raise OptionError(f'expected steps such as {{"y": ("fc", "x")}}, got {steps!r:.60}.')
    known = [INPUT]
    for value, step in steps.items():  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(step, tuple) or len(step) < 2 or not all(isinstance(name, str) for name in step):  # pyright: ignore
            raise OptionError(f"expected step {value!r} to be (layer, *inputs), all of them names, got {step!r:.60}.")
        if value in known:
            raise OptionError(f"two values are called {value!r}; the input of the graph is {INPUT!r}.")
        place(children, step[0], None)  # pyright: ignore[reportUnknownArgumentType]
        for name in step[1:]:  # pyright: ignore[reportUnknownVariableType]
            if name not in known:
                raise OptionError(f"step {value!r} reads {name!r}, which no step before it makes."
                                  f"{near_misses(str(name), known)}")  # pyright: ignore  # fmt: skip
        known.append(str(value))  # pyright: ignore[reportUnknownArgumentType]


def place(children: Children, path: str, key: Any) -> tuple[Child, Any]:
    """The child at a path, and the key that its parent would derive its own from."""
    name, _, rest = path.partition(".")
    found = {child.name: child for child in children}
    if name not in found:
        raise OptionError(f"no layer is called {path!r}.{near_misses(name, found)} There are: {', '.join(found)}.")
    if not rest:
        return found[name], key
    inside = found[name].layer
    if inside.wraps or not inside.children:
        raise OptionError(f"no layer is called {path!r}: {name!r} is {inside.brief}, which has no children to name.")
    return place(Children(inside.children), rest, found[name].key(key))  # pyright: ignore[reportArgumentType]


def gathered(values: Mapping[str, Any], names: list[str]) -> Any:
    """The value of this name, or the tuple of several; None where a shape is not known."""
    if len(names) == 1:
        return values[names[0]]
    return None if any(values[name] is None for name in names) else tuple(values[name] for name in names)


def assembled(children: Children, made: Mapping[str, tuple[Any, Any]], key: Any, prefix: str = "") -> tuple[Any, Any]:
    """Puts what was initialised at its paths; initialises the layers that no step names."""
    trees: list[tuple[Any, Any]] = []
    for child in children:
        path = prefix + child.name
        if path in made:
            trees.append(made[path])
        elif any(name.startswith(path + ".") for name in made):
            inside = Children(child.layer.children)  # pyright: ignore[reportArgumentType]
            trees.append(assembled(inside, made, child.key(key), path + "."))
        else:
            trees.append(child.init(key, None)[:2])
    return children.join([params for params, _ in trees]), children.join([state for _, state in trees])


def run(
    children: Children, path: list[str], params: Any, state: Any, x: Any, key: Any, train: bool, context: Context
) -> tuple[Any, Any]:
    """Applies the layer at a path: its output, and the state of all children after it."""
    index = [child.name for child in children].index(path[0])
    child, ps, ss = children.children[index], children.split(params, "params"), children.split(state, "state")
    if len(path) == 1:
        y, ss[index] = child.apply(ps[index], ss[index], x, key=key, train=train, context=context)
        return y, children.join(ss)
    with jax.named_scope(child.scope), watching.inside(child.name):
        try:
            own = child.key(key) if child.layer.uses_key else None
            inside = Children(child.layer.children)  # pyright: ignore[reportArgumentType]
            y, ss[index] = run(inside, path[1:], ps[index], ss[index], x, own, train, context)
        except Exception as error:
            child.note(error, x)
            raise
    return y, children.join(ss)
