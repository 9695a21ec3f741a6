"""Classes of torch modules whose forwards are written here and in the files beside: each is made at its first use."""

import importlib
from typing import Any

from jseq._interop.extras import need

HOME = "jseq._interop.to_torch"
MADE: dict[str, type] = {}


class Own:
    """What the classes share: they show the arguments they were built with."""

    def extra_repr(self: Any) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.shown.items())


def torch_class(own: type, base: str = "Module") -> Any:
    """The class with this forward, a subclass of one of torch.nn; the same one at every call, so that it pickles."""
    name = f"{own.__module__.rpartition('.')[2]}__{own.__name__}__{base}"
    if name not in MADE:
        parent = getattr(need("torch.nn", "torch"), base)
        fields = {"__module__": __name__, "__qualname__": name, "__doc__": own.__doc__, "base": parent}
        MADE[name] = type(own.__name__, (own, parent), fields)
    return MADE[name]


def __getattr__(name: str) -> Any:
    """Finds a class by its name here, for pickle."""
    file, own, base = [*name.split("__"), "", ""][:3]
    if not base or name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.")
    return torch_class(getattr(importlib.import_module(f"{HOME}.{file}"), own), base)


def made(own: type, children: dict[str, Any] | None = None, /, **arguments: Any) -> Any:
    """A module with these children; its arguments become attributes.

    Children are set as they are: `add_module` refuses names that a method of modules has, such as `forward`.
    """
    module = torch_class(own)()
    module._modules.update(children or {})
    module.shown = arguments
    for name, value in arguments.items():
        setattr(module, name, value)
    return module


def plain(torch_name: str, **arguments: Any) -> Any:
    """A module of torch.nn."""
    return getattr(need("torch.nn", "torch"), torch_name)(**arguments)


def chained(children: dict[str, Any]) -> Any:
    """An nn.Sequential of named modules."""
    module = plain("Sequential")
    module._modules.update(children)
    return module


def parameter(*shape: int) -> Any:
    """A parameter to be filled."""
    torch = need("torch", "torch")
    return torch.nn.Parameter(torch.empty(shape))


def submodule(module: Any, path: str) -> Any:
    """The module at a path; unlike torch's own this finds a child that has the name of a method."""
    for name in path.split(".") if path else ():
        module = module._modules[name]
    return module
