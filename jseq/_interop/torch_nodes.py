"""The steps that torch.fx finds in a forward of the user's own, and whether training and evaluation take the same."""

import inspect
from typing import Any

from jseq._interop.extras import need
from jseq._interop.torch_functions import MODULES, function_name
from jseq.errors import ConversionError


def nodes_of(module: Any) -> list[Any]:
    """The steps of a module's forward in training; `node.meta["evaluation"]` is the same step in evaluation."""
    fx, modes = need("torch.fx", "torch"), {child: child.training for child in module.modules()}
    tracer = type("Tracer", (fx.Tracer,), {"is_leaf_module": lambda self, child, name: True})  # pyright: ignore
    parameters = inspect.signature(module.forward).parameters.values()
    fixed = {p.name: p.default for p in parameters if p.default is not p.empty} or None
    graphs: list[list[Any]] = []
    try:
        for training in (True, False):
            for child in modes:
                child.training = training
            graphs.append(live(list(tracer().trace(module, fixed).nodes)))
    except Exception as error:
        text, name = str(error).strip().split("\n")[0], type(module).__name__
        raise ConversionError(f"torch.fx cannot trace its forward: {text} Write the module as an nn.Sequential, or "
                              f"register a layer: @jseq.torch_converter({name}).") from error  # fmt: skip
    finally:
        for child, mode in modes.items():
            child.training = mode
    train, evaluation = graphs
    if described(train) != described(evaluation):
        raise ConversionError("its forward takes other steps in training than in evaluation, which layers cannot.")
    for one, other in zip(train, evaluation, strict=True):
        one.meta["evaluation"] = other
    return train


def described(nodes: list[Any]) -> list[str]:
    """What each step does with what, to compare two traces; dropout may have p and training as the mode says."""
    fx = need("torch.fx", "torch")
    places = {node: f"%{i}" for i, node in enumerate(nodes)}
    lines: list[str] = []
    for node in nodes:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda one: places.get(one, "%"))
        called = function_name(node) if node.op in ("call_function", "call_method") else ""
        if "training" in MODULES.get(called, ("", []))[1]:  # mode_is_followed reads them
            args, kwargs = args[:1], {"input": kwargs["input"]} if "input" in kwargs else {}
        lines.append(f"{node.op} {node.target} {args!r} {dict(kwargs)!r}")
    return lines


def live(nodes: list[Any]) -> list[Any]:
    """The nodes that the output depends on, and the inputs; without those that fx fixed at their defaults."""
    needed = {nodes[-1]}
    for node in reversed(nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    fixed = {node for node in nodes if node.op == "placeholder" and only_asserted(node)}
    return [node for node in nodes if node not in fixed and (node in needed or node.op == "placeholder")]


def only_asserted(node: Any) -> bool:
    """Whether fx put a default in the place of this input, and checks that nothing else is given."""
    return bool(node.users) and all("assert" in user.name for user in node.users)
