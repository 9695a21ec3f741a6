"""What a converter or an emitter is registered for: a constructor of layers, or a plain function."""

from collections.abc import Mapping
from typing import Any

from jseq._core import values
from jseq.core import Layer, is_constructor, lift
from jseq.errors import LayerError


def check_targets(targets: tuple[Any, ...], decorator: str, error: type[LayerError]) -> None:
    """Refuses what is neither."""
    for target in targets:
        if not callable(target) or isinstance(target, Layer):
            raise error(f"{decorator} takes constructors of layers, or functions, got {target!r:.60}. "
                        f"The call that works: @jseq.{decorator}(my_layer).")  # fmt: skip


def registered(table: Mapping[Any, Any], layer: Layer, decorator: str, nothing: str, fix: str,
               error: type[LayerError]) -> Any:  # fmt: skip
    """What is registered for a layer, or for the function that it lifts.

    Raises an error that says how to register something: `nothing` is how it begins, `fix` how it ends.
    """
    target = layer.arguments["function"] if layer.constructor is lift else layer.constructor
    if target not in table:
        own = layer.name if is_constructor(target) else getattr(target, "__name__", "")
        unnamed = "<" in own or not own
        first = "Give it a name with def. " if unnamed else ""
        name = "my_function" if unnamed else own
        raise error(f"{nothing} {values.function_name(target)}. {first}Register one: @jseq.{decorator}({name}) {fix}")
    return table[target]
