"""Other libraries, imported where they are used: none of them comes with a plain install."""

import importlib
from typing import Any


def need(module: str, extra: str) -> Any:
    """Imports a module of an extra, such as `safetensors.numpy`; says how to install it when it is missing.

    Raises:
        ImportError: the module's library is not installed.

    Example:
        >>> need("json", "io").dumps([1])
        '[1]'
    """
    library = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != library:
            raise  # the library is there, and misses something of its own
        raise ImportError(f"{library} is not installed; it comes with jseq's extra {extra!r}. "
                          f"The command that works: pip install 'jseq[{extra}]'.") from None  # fmt: skip
