"""How a model is shown: the tree that `print` draws, and the one line that errors use."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from jseq._core import values

if TYPE_CHECKING:
    from jseq.core import Layer


def brief(layer: "Layer") -> str:
    """One line for errors: `linear(in_features=64, ...)`, `sequential(...)`, `jax.nn.relu`."""
    if layer.name == "lift":
        return values.function_name(layer.arguments["function"])
    if layer.functions.children is not None:
        return f"{layer.name}(...)" if layer.children else f"{layer.name}()"
    return f"{layer.name}({', '.join(values.options(layer.signature, layer.arguments))})"


def tree(layer: "Layer", label: str = "") -> str:
    """Draws the model as torch does; runs of equal children are drawn once."""
    if not layer.children:
        return label + brief(layer)
    shown = values.options(layer.signature, layer.arguments, skip=child_arguments(layer), defaults=False)
    lines = [f"{label}{layer.name}(" + "".join(f"{option}, " for option in shown).rstrip()]
    for label_of_child, child in runs(layer.children):
        lines += ("  " + line for line in tree(child, label_of_child).splitlines())
    lines += (f"  {value} = {name}({', '.join(inputs)})" for value, (name, *inputs) in steps(layer).items())
    return "\n".join([*lines, ")"])


def child_arguments(layer: "Layer") -> set[str]:
    """The arguments that the tree draws as children, or below them."""
    held = {"layers", "steps" if steps(layer) else ""} | set(
        layer.children if isinstance(layer.children, Mapping) else ()
    )
    return {n for n, value in layer.arguments.items() if n in held or (hasattr(value, "functions") and not layer.wraps)}


def steps(layer: "Layer") -> "Mapping[str, tuple[str, ...]]":
    """The steps of a graph, `{value: (layer, *inputs)}`; nothing for other layers."""
    given = layer.arguments.get("steps")
    wired = isinstance(given, Mapping) and all(isinstance(step, tuple) for step in given.values())  # pyright: ignore
    return given if wired else {}  # pyright: ignore[reportReturnType]


def runs(children: "tuple[Layer, ...] | Mapping[str, Layer]") -> Iterator[tuple[str, "Layer"]]:
    """Yields the children with their labels; equal neighbours without names of their own as one run."""
    if isinstance(children, Mapping):
        for name, child in children.items():
            yield f"({name}): ", child
        return
    start = 0
    for stop in range(1, len(children) + 1):
        if stop == len(children) or children[stop] != children[start]:
            count = stop - start
            yield f"({start}): " if count == 1 else f"({start}-{stop - 1}): {count} x ", children[start]
            start = stop
