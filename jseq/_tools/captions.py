"""What a picture says of a layer, and in how much room."""

import unicodedata
from collections.abc import Set
from os.path import basename
from typing import Any

import jax

from jseq._core import printing, values
from jseq.core import Layer

TIMES = "\N{MULTIPLICATION SIGN}"
ARROW = "\N{RIGHTWARDS ARROW}"
DOTS = "\N{HORIZONTAL ELLIPSIS}"
# The widths of ASCII from space to ~, in twentieths of the font size, as the characters from "0": those of DejaVu
# Sans, the widest of the fonts that browsers take for sans-serif, rounded up.
PLAIN = "789A=C@688:A7777==========77AAA;D>>>@=<@?66=;B?@<@>=<?>D><>878A::==;==7==66<6D=<==8;8=<A<<;=7=A"
BOLD = "79;A>DB699;A8988>>>>>>>>>>88AAA<D@??A>>AA88@=DAA?A@?>@@F@??989A::>?<?>9?>77>7E>>??:<:>=C==<>8>A"
# The family of a layer by the module that it stands in, by which it has its colour.
FAMILIES = {
    "linear": "linear",
    "convolution": "linear",
    "conv_transpose": "linear",
    "separable": "linear",
    "feed_forward": "linear",
    "embedding": "embedding",
    "positions": "embedding",
    "normalisation": "norm",
    "batch_norm": "norm",
    "instance_norm": "norm",
    "local_response": "norm",
    "unpooling": "pooling",
    "attention": "attention",
    "grouped_attention": "attention",
    "squeeze_excitation": "attention",
    "noise": "dropout",
    "recurrent": "recurrent",
    "cells": "recurrent",
}
PAIRS = (
    ("in_features", "out_features"),
    ("in_channels", "out_channels"),
    ("input_size", "hidden_size"),
    ("num_embeddings", "embedding_dim"),
)


def family(layer: Layer) -> str:
    """The family of a layer: "linear", "norm", "activation", ..., "other"; "group" for a combinator."""
    if layer.name == "lift":
        home = values.function_home(layer.arguments["function"]) or ""
        return "activation" if home.startswith("jax.nn.") else "other"
    if layer.children:
        return "group"
    package, _, module = layer.constructor.__module__.rpartition(".")
    if package != "jseq._layers":
        return "other"
    prefixes = {"activation": "activation", "dropout": "dropout"}
    start = module.partition("_")[0]
    return FAMILIES.get(module) or prefixes.get(start) or ("pooling" if module.endswith("pooling") else "other")


def title(layer: Layer) -> str:
    """What a layer is called: `linear`, and the bare name of a function."""
    if layer.name != "lift":
        return layer.name
    name = values.function_name(layer.arguments["function"])
    return "lambda" if name.startswith("<") else name.rpartition(".")[2]


def detail(layer: Layer, skip: Set[str] = frozenset()) -> str:
    """The arguments of a layer, in short: `3 -> 64, 7x7, stride 2, no bias`; some may be said elsewhere."""
    if layer.name == "lift":
        name = values.function_name(layer.arguments["function"])
        return basename(name.rpartition(" ")[2].strip("<>")) if name.startswith("<") else ""
    hidden = printing.child_arguments(layer) | {n for n, value in layer.arguments.items() if isinstance(value, Layer)}
    given = {n: value for n, value in layer.arguments.items() if n not in hidden | skip}
    parts: list[str] = []
    for first, second in PAIRS:
        if first in given and second in given:
            parts.append(" ".join(written(v) for v in (given.pop(first), ARROW, given.pop(second)) if v is not None))
    for parameter in layer.signature.parameters.values():
        name, value = parameter.name, given.get(parameter.name)
        if name not in given or (value == parameter.default and name != "p"):
            continue
        bare = parameter.default is parameter.empty and not parts
        parts.append(window(layer, value) if name == "kernel_size" else written(value) if bare else option(name, value))
    return ", ".join(parts)


def option(name: str, value: Any) -> str:
    """An argument that is not at its default."""
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {written(value)}"


def window(layer: Layer, value: Any) -> str:
    """The size of a window: `3x3`."""
    rank = int(layer.name[-2]) if layer.name[-2:] in ("1d", "2d", "3d") else 1
    sizes = value if isinstance(value, tuple) else (value,) * rank
    return TIMES.join(map(str, sizes)) if len(sizes) > 1 else f"kernel_size {sizes[0]}"  # pyright: ignore


def written(value: Any) -> str:
    """A value in short."""
    if isinstance(value, tuple):
        return TIMES.join(written(item) for item in value)  # pyright: ignore
    return value if isinstance(value, str) else values.code(value)


def shape_text(tree: Any, usual: str) -> str:
    """The shape of an array, `32x10`; with its dtype, unless it is the usual one; a tuple of several."""
    leaves = jax.tree.leaves(tree)
    texts = [TIMES.join(map(str, leaf.shape)) or "scalar" for leaf in leaves]
    texts = [text if str(leaf.dtype) == usual else f"{leaf.dtype} {text}"
             for text, leaf in zip(texts, leaves, strict=True)]  # fmt: skip
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of a text, rather too much than too little."""
    table = BOLD if bold else PLAIN
    return size * sum(advance(character, table) for character in text)


def advance(character: str, table: str) -> float:
    """The width of a character in a font of size 1."""
    index = ord(character) - 32
    if 0 <= index < len(table):
        return (ord(table[index]) - 48) / 20
    return 1.1 if unicodedata.east_asian_width(character) in "WF" else 0.9


def fitted(text: str, room: float, size: float, bold: bool = False) -> str:
    """A text, cut where it does not fit."""
    if text_width(text, size, bold) <= room:
        return text
    while text and text_width(text + DOTS, size, bold) > room:
        text = text[:-1]
    return text.rstrip(" ,") + DOTS
