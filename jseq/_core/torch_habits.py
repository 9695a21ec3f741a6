"""What a user of torch may write here, and what to write instead. Torch is known by names alone, never imported."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jseq._core.checks import CALLS
from jseq._core.values import HOMES, signature_text
from jseq.errors import near_misses

METHODS = {  # of torch's modules: the call that works here
    "forward": "y = model.apply(params, x)",
    "eval": "y = model.apply(params, x), which evaluates",
    "train": CALLS["apply"],
    "parameters": "params = model.init(jax.random.key(0)); jax.tree.leaves(params)",
    "named_parameters": "jseq.torch_state_dict(model, params, state)",
    "state_dict": "jseq.torch_state_dict(model, params, state)",
    "load_state_dict": "params, state = jseq.load_torch_state_dict(model, state_dict)",
    "to": "params = jax.device_put(params, device)",
    "cuda": "params = jax.device_put(params, device)",
}


class Absent:
    """A method of torch's modules that layers have not: asked for, it says what to call."""

    def __init__(self, name: str, call: str):
        self.name, self.call = name, call

    def __get__(self, layer: Any, owner: Any = None) -> Any:
        raise AttributeError(f"a layer has no {self.name!r}: its arrays are params, which it does not hold, and it has "
                             f"no modes. The call that works: {self.call}.", name=self.name)  # fmt: skip


def same_name(name: str, known: Iterable[str]) -> str | None:
    """The name that torch's becomes: the same letters, without the number of axes where ours has none.

    >>> same_name("LeakyReLU", ["relu", "leaky_relu"]), same_name("BatchNorm2d", ["batch_norm"])
    ('leaky_relu', 'batch_norm')
    """
    spelt = {other.replace("_", "").lower(): other for other in known}
    letters = name.replace("_", "").lower()
    return spelt.get(letters) or spelt.get(re.sub("[1-3]d$", "", letters))


def instead_of(value: Any, constructors: Mapping[str, Callable[..., Any]]) -> str:
    """What to write in place of a module, a class of modules or a function of torch; "" for anything else."""
    kind: Any = value if isinstance(value, type) else type(value)
    name: str = getattr(value, "__name__", kind.__name__)
    ours = same_name(name, (full.removeprefix("jseq.") for full in constructors if full.startswith("jseq.")))
    layer = ours and f"jseq.{ours}{signature_text(constructors[f'jseq.{ours}'])}"
    if any(base.__name__ == "Module" and is_torch(base) for base in kind.__mro__):
        if kind is value:
            return f"{name} is a class of torch modules. The call that works: {layer or 'jseq.from_torch(module)'}."
        new = f"; a new layer is {layer}" if layer else ""
        return (f"{name} is a torch module, which computes on torch's tensors. The call that works: "
                f"model, params, state = jseq.from_torch(module){new}.")  # fmt: skip
    if not (is_torch(value) or is_torch(kind)) or hasattr(value, "shape"):
        return ""
    known = [layer] if layer else []
    known += [f"{home}.{name}" for home, module in HOMES.items() if hasattr(module, name)]
    return (f"{name} is a function of torch, which computes on torch's tensors. Write a layer of jseq or a function of "
            f"jax: {' or '.join(known) or 'jseq.relu() or jax.nn.relu, for example'}.")  # fmt: skip


def absent(name: str) -> Any:
    """What `jseq.name` answers where there is no such name: torch's names are said to be others here."""
    module = sys.modules["jseq"]
    if name.startswith("_"):
        raise AttributeError(f"module 'jseq' has no attribute {name!r}", name=name, obj=module)
    known = [public for public in vars(module) if not public.startswith("_")]
    ours = same_name(name, known)
    hint = f" Its name here is jseq.{ours}." if ours else near_misses(name, known)
    if name == "nn":
        hint = " The layers are names of jseq itself, such as jseq.linear; plain functions are in jseq.functional."
    raise AttributeError(f"jseq has no {name!r}.{hint}", name=name)  # without obj Python adds no guess of its own


def is_torch(value: Any) -> bool:
    """Whether a class or a function stands in torch's own modules; torchvision's do not."""
    return str(getattr(value, "__module__", "")).partition(".")[0] == "torch"
