"""The steps that torch.fx finds in a forward of the user's own, and whether training and evaluation take the same."""

import inspect
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jseq._interop.extras import need
from jseq._interop.torch_functions import MODULES, function_name
from jseq._interop.torch_inplace import Effect, Rewriting, proxies
from jseq._interop.torch_leavings import asserted, without_zero_states
from jseq.errors import ConversionError

# Names of numpy's that functions of torch take for their own.
NUMPYS = {"axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "x2": "other"}


# The steps of the modules of one conversion, each of which is asked for by those around it too.
_found: ContextVar[dict[Any, list[Any]] | None] = ContextVar("found", default=None)


@contextmanager
def traced_once() -> Generator[None]:
    """Within this, each module is traced once."""
    token = _found.set({})
    try:
        yield
    finally:
        _found.reset(token)


def nodes_of(module: Any) -> list[Any]:
    """The steps of a module's forward in training; `node.meta["evaluation"]` is the same step in evaluation."""
    found = _found.get()
    if found is None:
        return find_nodes(module)
    if module not in found:
        found[module] = find_nodes(module)
    return found[module]


def find_nodes(module: Any) -> list[Any]:
    """Traces a module's forward in both modes."""
    modes = {child: child.training for child in module.modules()}
    tracer = tracer_of(module)
    graphs: list[Any] = []
    try:
        for training in (True, False):
            for child in modes:
                child.training = training
            graphs.append(tracer().trace(module))
    except Exception as error:
        text, name = str(error).strip().split("\n")[0], type(module).__name__
        raise ConversionError(f"torch.fx cannot trace its forward: {text} Write the module as an nn.Sequential, or "
                              f"register a layer: @jseq.torch_converter({name}).") from error  # fmt: skip
    finally:
        for child, mode in modes.items():
            child.training = mode
    effects: dict[str, Effect] = {}
    for graph in graphs:
        for node in graph.nodes:
            if node.op in ("call_function", "call_method"):
                node.kwargs = {NUMPYS.get(name, name): value for name, value in node.kwargs.items()}
                if function_name(node) == "size":
                    node.args, node.kwargs = (*node.args, *node.kwargs.values()), {}
        Rewriting(module, graph, effects).run()
        without_zero_states(module, graph)
    train, evaluation = (live(list(graph.nodes)) for graph in graphs)
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
        target = "a constant" if str(node.target).startswith("_tensor_constant") else node.target  # fx counts on
        lines.append(f"{node.op} {target} {args!r} {dict(kwargs)!r}")
    return lines


def tracer_of(module: Any) -> type[Any]:
    """A tracer that makes inputs of the arguments without a default, and leaves the others at theirs."""
    fx = need("torch.fx", "torch")
    parameters = [p for p in inspect.signature(module.forward).parameters.values() if p.default is p.empty]
    by_place = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    if not by_place + by_name:
        raise ConversionError("its forward has no argument that must be given, and so no input. "
                              "Give it one without a default: def forward(self, x).")  # fmt: skip

    def create_args_for_root(self: Any, *given: Any) -> tuple[Any, list[Any]]:
        inputs = {name: self.create_proxy("placeholder", name, (), {}) for name in (*by_place, *by_name)}
        args, kwargs = [inputs[name] for name in by_place], {name: inputs[name] for name in by_name}
        return lambda root: module.forward(*args, **kwargs), [self.root]

    proxy = proxies()
    own = {
        "is_leaf_module": lambda self, child, name: True,  # pyright: ignore
        "proxy": lambda self, node: proxy(node, self),  # pyright: ignore
        "proxy_buffer_attributes": True,
        "to_bool": asserted,
    }
    return type("Tracer", (fx.Tracer,), {**own, "create_args_for_root": create_args_for_root})


def live(nodes: list[Any]) -> list[Any]:
    """The nodes that the output depends on, and the inputs."""
    needed = {nodes[-1]}
    for node in reversed(nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    return [node for node in nodes if node in needed or node.op == "placeholder"]
