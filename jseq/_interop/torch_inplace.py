"""Steps that change an array in place, in a trace of torch.fx: later steps are made to read what became of it.

Two nodes may be one array, or one a view of the other. A trace says which node is changed, and so which of the nodes
that are read afterwards have another value than when they were made: the node itself is replaced by its new value;
where others share its memory and are read again, the trace is refused.
"""

import operator
from dataclasses import dataclass
from typing import Any

from jseq._interop.extras import need
from jseq._interop.torch_arithmetic import ARITHMETIC
from jseq._interop.torch_functions import MODULES, function_name
from jseq._interop.torch_products import PRODUCTS
from jseq._interop.torch_reductions import REDUCTIONS
from jseq._interop.torch_registry import CUSTOM, class_of, converter_of, is_chain
from jseq._interop.torch_sizes import is_shape
from jseq._interop.torch_steps import PARTS
from jseq.errors import ConversionError

OPERATORS = ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "imatmul", "iand", "ior", "ixor")
GRADIENTS = ("requires_grad_", "detach_")  # in place, but for the numbers
DROPS = {name for name, (_, names) in MODULES.items() if "training" in names}  # in evaluation they return their input
VIEWS = DROPS | {"flatten", "unflatten", "contiguous", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle"}
NEW = (  # memory of its own
    MODULES.keys() | ARITHMETIC.keys() | REDUCTIONS.keys() | PRODUCTS.keys()
    | {"pad", "cat", "concat", "concatenate", "repeat", "arange"}
) - VIEWS - {"einsum"}  # fmt: skip
VIEW_MODULES = {MODULES[name][0] for name in VIEWS} | {"Identity", "FeatureAlphaDropout"}
FUNCTIONS = {module: name for name, (module, names) in MODULES.items() if "inplace" in names and name not in DROPS}
Memory = frozenset[tuple[Any, ...]]  # each entry is an array, and which piece of it, and of that


@dataclass(frozen=True)
class Effect:
    """What a call does to an array: the modules that change it in place, None if that is not known, and whether the
    result may be in the same memory."""

    changes: tuple[Any, ...] | None = ()
    shares: bool = False


def proxies() -> type[Any]:
    """Proxies of fx that record `x += 1` as what it is; fx's own record a sum."""
    fx = need("torch.fx", "torch")

    def recorded(name: str) -> Any:
        function = getattr(operator, name)
        return lambda one, other: one.tracer.create_proxy("call_function", function, (one, other), {})  # pyright: ignore

    return type("Proxy", (fx.Proxy,), {f"__{name}__": recorded(name) for name in OPERATORS})


def of_module(module: Any) -> Effect:
    """The effect of calling a module."""
    own, name = class_of(module), class_of(module).__name__
    if converter_of(module) is not None:
        known = own not in CUSTOM
        if getattr(module, "inplace", False):
            return Effect((module,) if known else None, True)
        return Effect((), not known or name in VIEW_MODULES)
    if is_chain(module):
        return of_chain([of_module(child) for child in module])
    if type(module).__module__.startswith("torch.nn."):
        return Effect()  # the conversion refuses it
    from jseq._interop.torch_nodes import nodes_of

    nodes = nodes_of(module)
    changed = any(node.op == "placeholder" and node.meta.get("changed") for node in nodes)
    return Effect(None if changed else (), nodes[-1].meta["shares"])


def of_chain(effects: list[Effect]) -> Effect:
    """The effect of modules one after the other: those in front that hand on their input may change it."""
    changes: tuple[Any, ...] = ()
    for effect in effects:
        if effect.changes is None:
            return Effect(None, True)
        changes += effect.changes
        if not effect.shares:
            return Effect(changes)
    return Effect(changes, True)


def of_call(node: Any) -> Effect:
    """The effect of a function or a method; the node itself is then the new value."""
    name = function_name(node)
    names = MODULES.get(name, ("", []))[1]
    given = dict(zip(names, node.args[1:], strict=False)) | dict(node.kwargs)
    if given.get("out") is not None:
        raise ConversionError(f"{name}(out=...) writes into an array. Use what the function returns.")
    written = name.endswith("_") and not name.endswith("__") and name not in GRADIENTS
    if written or given.get("inplace") or (name in OPERATORS and not isinstance(node.target, str)):
        return Effect((node,), True)
    return Effect((), name not in NEW and not is_shape(node))


class Rewriting:
    """The rewriting of one trace, node by node."""

    def __init__(self, module: Any, graph: Any, effects: dict[str, Effect]):
        self.module, self.graph, self.effects = module, graph, effects
        self.memory: dict[Any, Memory] = {}

    def run(self) -> None:
        """Rewrites the graph."""
        for node in list(self.graph.nodes):
            effect = Effect()
            if node.op == "call_module":
                effect = self.of_child(node.target)
            elif node.op in ("call_function", "call_method"):
                effect = of_call(node)
            elif node.op == "output":
                shared = [one for one in node.all_input_nodes if self.meets_inputs(self.memory[one])]
                node.meta["shares"] = bool(shared)
            self.memory[node] = self.memory_of(node, effect.changes) if effect.shares else frozenset({(node,)})
            if effect.changes != ():
                for changed in node.all_input_nodes if effect.changes is None else node.all_input_nodes[:1]:
                    self.change(node, changed, effect.changes)

    def of_child(self, path: str) -> Effect:
        """The effect of a module inside, found once."""
        child = self.module.get_submodule(path)
        try:
            if path not in self.effects:
                self.effects[path] = of_module(child)
        except ConversionError as error:
            error.name(f'{type(child).__name__} at "{path}"')
            raise
        return self.effects[path]

    def memory_of(self, node: Any, changes: tuple[Any, ...] | None) -> Memory:
        """The memory of a node that shares it with what it reads; pieces of one array share none among them.

        A step that changes its first array in place has the memory of that one alone.
        """
        sources = node.all_input_nodes[:1] if changes == (node,) else node.all_input_nodes
        memory = frozenset(entry for one in sources for entry in self.memory[one])
        if node.op == "call_function" and node.target is operator.getitem and self.is_tuple(node.args[0]):
            index = node.args[1]
            if isinstance(index, int) and index >= 0:
                return frozenset((*entry, (node.args[0], index)) for entry in memory)
        return memory

    def is_tuple(self, node: Any) -> bool:
        """Whether a node is a tuple of arrays that share no memory."""
        if node.op == "call_module":
            return class_of(self.module.get_submodule(node.target)).__name__ in PARTS
        return node.op != "placeholder" and function_name(node) in ("chunk", "split")

    def meets_inputs(self, memory: Memory) -> bool:
        return any(entry[0].op == "placeholder" for entry in memory)

    def change(self, node: Any, changed: Any, by: tuple[Any, ...] | None) -> None:
        """Has later steps read the new value of an array that a node changes."""
        memory = self.memory[changed]
        for entry in memory:
            entry[0].meta["changed"] = True
            if entry[0].op == "get_attr":
                raise ConversionError(f"step {node.name!r} changes {entry[0].target!r}, an array of the module's own, "
                                      "in place. A forward may read it alone.")  # fmt: skip
        order = {one: i for i, one in enumerate(self.graph.nodes)}
        later = [one for one in self.graph.nodes if order[one] > order[node]]
        news = None if by is None else self.new_value(node, changed, by)
        for one in self.memory:
            if one is node or not meet(self.memory[one], memory) or (one is changed and news is not None):
                continue
            if any(order.get(user, -1) > order[node] and reads(user) for user in one.users):
                raise self.refused(node, one)
        for one in later:
            if news is not None:
                one.replace_input_with(changed, news)

    def new_value(self, node: Any, changed: Any, by: tuple[Any, ...]) -> Any:
        """The node that is the new value: the step itself, or functions that do what the modules inside it do."""
        alone = node.op == "call_module" and by == (self.module.get_submodule(node.target),)
        if by == (node,) or alone:
            return node
        names = [FUNCTIONS.get(class_of(one).__name__) for one in by]
        value = changed
        for one, name in zip(by, names, strict=True):
            if name is None:
                return None
            options = {key: getattr(one, key) for key in MODULES[name][1] if key != "inplace"}
            with self.graph.inserting_before(node):
                value = self.graph.call_function(getattr(need("torch.nn.functional", "torch"), name), (value,), options)
            self.memory[value] = self.memory[changed]
        return value

    def refused(self, node: Any, one: Any) -> ConversionError:
        error = ConversionError(f"it changes an array in place, and so {one}, which is read again. Write what comes "
                                "of it as a value of its own, as y = torch.relu(x), and read that.")  # fmt: skip
        error.name(f"{type(self.module).__name__}, step {node.name!r}")
        return error


def meet(one: Memory, other: Memory) -> bool:
    """Whether two nodes may have memory in common."""
    return any(together(a, b) for a in one for b in other)


def together(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    """Whether two pieces overlap: not if the arrays differ, or where they are different pieces of one tuple."""
    if a[0] is not b[0]:
        return False
    different = next(((p, q) for p, q in zip(a[1:], b[1:], strict=False) if p != q), None)
    return different is None or different[0][0] is not different[1][0]


def reads(node: Any) -> bool:
    """Whether a step reads the numbers of an array, not its shape alone."""
    return node.op not in ("call_function", "call_method") or not is_shape(node)
