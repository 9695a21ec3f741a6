"""Exported models, loaded: the check behind their bytes, and the function made of them.

The bytes are those of `jax.export`, which reads them too, with a check behind them:
`program | JSON | length of the JSON (4 bytes) | SHA-256 of all before (32 bytes) | b"jseq export 1\\n"`.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax import export as jax_export

from jseq._interop.extras import need
from jseq.errors import ExportError, describe

MAGIC = b"jseq export 1\n"
DIGEST = hashlib.sha256().digest_size


def seal(data: bytes, constraints: tuple[str, ...]) -> bytes:
    """Puts the check behind the program, and what jax.export does not write."""
    header = json.dumps({"jax": jax.__version__, "constraints": constraints}).encode()
    body = data + header + len(header).to_bytes(4, "little")
    return body + hashlib.sha256(body).digest() + MAGIC


def unseal(data: bytes) -> tuple[bytes, dict[str, Any]]:
    """Checks the bytes; returns the program and what was written with it."""
    end = len(data) - len(MAGIC) - DIGEST
    if end < 4 or not data.endswith(MAGIC):
        raise ExportError(
            f"expected what jseq.export returns, got {len(data)} bytes that do not end as it does: they are cut off, "
            "or come from elsewhere. jax.export.deserialize reads what jax.export wrote."
        )
    if hashlib.sha256(data[:end]).digest() != data[end : end + DIGEST]:
        raise ExportError("the program is damaged: its checksum does not fit. Copy the file again, or export again.")
    start = end - 4 - int.from_bytes(data[end - 4 : end], "little")
    return data[:start], json.loads(data[start : end - 4])


@dataclass(frozen=True, eq=False, repr=False)
class ExportedModel:
    """A loaded program: a function of the inputs that it was exported for. `jseq.load_export` makes it.

    It is compiled once for every new shape of the inputs, as a jitted function is, and can be called within
    `jax.jit`. `jax.grad` needs `vjp_order`; `jax.vmap` is not for it: leave a size open instead.

    Attributes:
        exported: the `jax.export.Exported`.
        platforms: where it runs.
        in_shapes: the shapes of its arguments, with open sizes by name: `(x,)`, `(params, x)` or `(params, state, x)`.
        context_shapes: the shapes of its context, by name.
        out_shapes: the shape of y.
        constraints: what the open sizes must fulfil.
    """

    exported: jax_export.Exported
    platforms: tuple[str, ...]
    in_shapes: tuple[Any, ...]
    context_shapes: Mapping[str, Any]
    out_shapes: Any
    constraints: tuple[str, ...]
    run: Callable[..., Any]

    def __call__(self, *arguments: Any, context: Mapping[str, Any] | None = None) -> Any:
        options = {} if context is None else {"context": context}
        try:
            return self.run(*arguments, **options)
        except Exception as error:
            error.add_note(f"in {self!r}")
            raise

    def __repr__(self) -> str:
        trees = [describe(shape) for shape in self.in_shapes]
        trees += [f"context={describe(self.context_shapes)}"] if self.context_shapes else []
        where = f" where {', '.join(self.constraints)}" if self.constraints else ""
        y = describe(self.out_shapes)
        return f"<exported ({', '.join(trees)}) -> {y}{where} for {', '.join(self.platforms)}>"


def load_export(source: bytes | str | os.PathLike[str]) -> ExportedModel:
    """Loads what `jseq.export` wrote: `y = load_export(data)(x)`.

    The checksum finds damage, not malice: load programs of people whose code you would run.

    Args:
        source: the bytes, or the path of a file that holds them.

    Returns:
        A function of `(x)`, `(params, x)` or `(params, state, x)`, as it was exported, and `context=`.

    Raises:
        ExportError: the bytes are damaged, are no export, or were written by a newer JAX.
        ImportError: flatbuffers is missing; it comes with the extra "export".

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.linear(4, 2)
        >>> data = jseq.export(model, model.init(jax.random.key(0)), x=jnp.ones((1, 4)), bake=False)
        >>> program = jseq.load_export(data)
        >>> program.in_shapes[-1].shape, program.platforms
        ((b, 4), ('cpu', 'cuda', 'tpu'))
        >>> program(model.init(jax.random.key(1)), jnp.ones((3, 4))).shape
        (3, 2)
    """
    need("flatbuffers", "export")
    is_data = isinstance(source, bytes | bytearray | memoryview)
    data, header = unseal(bytes(source) if is_data else Path(source).read_bytes())
    if release(header["jax"]) > release(jax.__version__):
        raise ExportError(
            f"the program was written by jax {header['jax']}, and this is jax {jax.__version__}: programs load in the "
            "jax that wrote them and in newer ones. Upgrade jax, or export again with this one."
        )
    exported = jax_export.deserialize(bytearray(data))
    avals = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in exported.in_avals]
    arguments, options = jax.tree.unflatten(exported.in_tree, avals)
    y = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in exported.out_avals]
    return ExportedModel(
        exported=exported,
        platforms=exported.platforms,
        in_shapes=arguments,
        context_shapes=options.get("context", {}),
        out_shapes=jax.tree.unflatten(exported.out_tree, y),
        constraints=tuple(header["constraints"]),
        run=jax.jit(exported.call),
    )


def release(version: str) -> tuple[int, ...]:
    """The first two numbers of a version: what a program written under it needs."""
    return tuple(int(part) for part in version.split(".")[:2])
