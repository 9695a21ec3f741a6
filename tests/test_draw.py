"""Pictures: every layer once, nothing on top of anything else, wires as the data goes, and well-formed SVG."""

import itertools
import json
import xml.etree.ElementTree as ET

import jax
import jax.numpy as jnp
import pytest

import jseq
from jseq._tools.captions import TIMES, fitted, text_width
from jseq._tools.labels import DOT
from jseq._tools.picture import Frame
from jseq._tools.places import places
from jseq.errors import CallError, DtypeError, ShapeError

X = jax.ShapeDtypeStruct((2, 8, 8, 4), jnp.float32)


@jseq.layer
def gated(*layers):
    """A combinator of the user's own: a product, and a sum of three."""
    children = jseq.Children(layers)

    def apply(params, state, x, key, train, context):
        (a, p, s), (b, q, t) = children.zip(params, state)
        u, s = a.apply(p, s, x, key=key, train=train, context=context)
        v, t = b.apply(q, t, x, key=key, train=train, context=context)
        return u * jax.nn.sigmoid(v) + x + u, children.join([s, t])

    return children.init_chain, apply, children.layers


def conv(inside, outside, stride=1):
    return jseq.sequential(jseq.conv2d(inside, outside, 3, stride, 1), jseq.batch_norm(outside), jax.nn.relu)


LINEAR, SHORTCUT = jseq.linear(4, 4), jseq.conv2d(4, 6, 1, 2)
MODEL = jseq.sequential(
    {
        "stem": conv(4, 4),
        "skips": jseq.sequential(*[jseq.residual(conv(4, 4))] * 3, jseq.residual(conv(4, 6, 2), SHORTCUT)),
        "views": jseq.branch({"same": jseq.identity(), "a": jseq.linear(6, 1), "b": jseq.linear(6, 1), "c": jnp.sin}),
        "meet": jseq.concatenate(),
        "deep": jseq.remat(jseq.repeat(jseq.residual(jseq.layer_norm(14)), 12)),
        "narrow": jseq.linear(14, 4),
        "gate": gated(LINEAR, jseq.linear(4, 4, bias=False)),
        "wired": jseq.graph(
            {"e": gated(LINEAR, LINEAR), "plus": jseq.add(), "times": jseq.multiply(), **dict.fromkeys("abcd", LINEAR)},
            {"p": ("a", "x"), "q": ("b", "x"), "r": ("c", "x"), "s": ("plus", "p", "q"), "t": ("times", "q", "r"),
             "u": ("d", "s"), "v": ("e", "t"), "w": ("plus", "u", "v", "p")},
        ),
        "dense": jseq.graph(
            {"a": LINEAR, "b": LINEAR, "plus": jseq.add(), "more": jseq.add()},
            {"p": ("a", "x"), "q": ("plus", "x", "p"), "r": ("b", "q"), "y": ("more", "x", "p", "r")},
        ),
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def picture():
    return jseq.draw(MODEL, X)


def sizes(dtype, *ns):
    return f"{dtype} {TIMES.join(map(str, ns))}"


def overlap(a, b):
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


def holds(a, b):
    return a.x <= b.x and a.y <= b.y and b.x + b.width <= a.x + a.width and b.y + b.height <= a.y + a.height


def test_every_layer_is_drawn_once_in_the_order_of_the_calls(picture):
    drawn = [(box.path, box.title) for box in picture.boxes]
    order = [("", "input"), ("stem.1", "batch_norm"), ("skips.0.layer.0", "conv2d"), ("skips.3.shortcut", "conv2d"),
             ("views.c", "sin"), ("meet", "concatenate"), ("deep.layer", "layer_norm"), ("gate.0", "linear"),
             ("wired.times", TIMES), ("dense.b", "linear"), ("", "output")]  # fmt: skip
    assert [place for place in drawn if place in order] == order
    leaves = [place for place in places(MODEL) if not place.layer.children and place.path != "views.same"]  # a wire
    first = [place.path for place in leaves if not place.path.startswith(("skips.1", "skips.2"))]
    paths = [path for path, _ in drawn]
    assert [path for path in first if paths.count(path) != 1] == ["wired.plus"]  # which is used twice
    sums = [path for path, title in drawn if title == "+"]
    assert (sums.count("gate"), sums.count("wired.plus")) == (1, 2)  # a sum of three is one; a layer used twice is two
    assert [(frame.path, frame.label, frame.badge, frame.level) for frame in picture.frames] == [
        ("stem", "stem", "", 0), ("skips", "skips", "", 0), ("skips.0-2", "residual", f"{TIMES} 3", 1),
        ("deep", f"deep{DOT}remat", "", 0), ("deep", "repeat", f"{TIMES} 12", 1), ("gate", f"gate{DOT}gated", "", 0),
        ("wired", "wired", "", 0), ("wired.e", f"e{DOT}gated", "", 1), ("dense", "dense", "", 0),
    ]  # fmt: skip


def test_nothing_stands_on_anything_else(picture):
    for a, b in itertools.combinations(picture.boxes, 2):
        assert not overlap(a, b), (a, b)
    for frame in picture.frames:
        for other in (*picture.boxes, *picture.frames):
            assert holds(frame, other) or holds(other, frame) or not overlap(frame, other), (frame, other)
    for wire in picture.wires:
        for (ax, ay), (bx, by) in itertools.pairwise(wire.points):
            thin = Frame(min(ax, bx) - 1, min(ay, by) - 1, abs(bx - ax) + 2, abs(by - ay) + 2, "", "")
            for box in picture.boxes:
                core = Frame(box.x + 2, box.y + 2, box.width - 4, box.height - 4, "", "")
                assert not overlap(thin, core), (wire, box)  # a curve stays between its ends
    assert all(0 <= x <= picture.width and 0 <= y <= picture.height for wire in picture.wires for x, y in wire.points)


def test_texts_fit_their_boxes(picture):
    for box in picture.boxes:
        if box.kind == "layer":
            first = text_width(box.title, 12, bold=True) + text_width(box.name, 11) + text_width(box.shape, 10)
            assert first < box.width - 20 and text_width(box.detail, 10) <= box.width - 20
    assert fitted("multihead_attention", 60, 12) == "multihe…" and fitted("relu", 60, 12) == "relu"
    assert text_width("漢字", 10) == 22


def test_the_svg_is_well_formed_and_the_same_each_time(picture):
    root = ET.fromstring(picture.svg)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count(f"{TIMES} 12") == 1 and sizes("float32", 2, 8, 8, 4) in texts
    assert "prefers-color-scheme:dark" in picture.svg and picture._repr_svg_() == picture._repr_html_() == picture.svg
    assert jseq.draw(MODEL, X).svg == picture.svg
    assert json.loads(json.dumps(picture.to_dict()))["boxes"][0]["title"] == "input"


def test_names_are_escaped():
    model = jseq.sequential({'<b>&"': jseq.linear(4, 4), "f": lambda x: x})
    picture = jseq.draw(model, jnp.ones((2, 4)))
    texts = [element.text for element in ET.fromstring(picture.svg).iter("{http://www.w3.org/2000/svg}text")]
    assert '<b>&"' in texts and "lambda" in texts and repr(picture).startswith("<Picture of sequential(): 4 boxes")


def test_a_picture_is_written_to_a_file(tmp_path):
    picture = jseq.draw(LINEAR, jnp.ones(4))
    picture.save(tmp_path / "model.svg")
    assert ET.parse(tmp_path / "model.svg").getroot().tag.endswith("svg")


def test_depth_and_figures():
    first = jseq.draw(MODEL, X, depth=1)
    assert [(box.title, box.name) for box in first.boxes][1:4] == [
        ("sequential", "stem"), ("sequential", "skips"), ("branch", "views")
    ]  # fmt: skip
    assert [box.title for box in jseq.draw(MODEL, X, depth=0).boxes] == ["input", "sequential", "output"]
    model = jseq.sequential(jseq.repeat(LINEAR, 3), *[jseq.linear(4, 4, bias=False)] * 2)
    picture = jseq.draw(model, jnp.ones((2, 4)), figures=True)
    assert (picture.frames[0].note, picture.boxes[1].note) == (f"60 params{DOT}216 FLOPs", f"20 params{DOT}72 FLOPs")
    assert (picture.boxes[2].title, picture.boxes[2].copies, picture.boxes[2].note) == (
        f"linear {TIMES} 2", 2, f"32 params{DOT}128 FLOPs"
    )  # fmt: skip


def test_several_inputs_have_a_box_each():
    model = jseq.remat(jseq.transformer_decoder_layer(8, 2, 16))
    boxes = jseq.draw(model, (jnp.ones((3, 5, 8)), jnp.ones((3, 7, 8)))).boxes
    own, memory = sizes("float32", 3, 5, 8), sizes("float32", 3, 7, 8)
    assert [(box.title, box.shape) for box in boxes if box.kind in ("input", "port")] == [
        ("input[0]", own), ("input[1]", memory), ("[0]", own), ("[1]", memory), ("[0]", own), ("[1]", memory)
    ]  # fmt: skip


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(CallError, match=r"draw takes \(model, x\), got float32"):
        jseq.draw(jnp.ones(3), MODEL)
    with pytest.raises(CallError, match="depth to be a whole number of at least 0, or None for all, got -1"):
        jseq.draw(LINEAR, jnp.ones(4), depth=-1)
    works = r"jseq.draw\(model, jax.ShapeDtypeStruct\(\(32, 64\), jnp.float32\)\)\.$"
    with pytest.raises(DtypeError, match=rf"^draw reads shapes from arrays, got int 32. The call that works: {works}"):
        jseq.draw(LINEAR, (32, 4), figures=True)
    with pytest.raises(ShapeError, match=r"expected x of shape \(..., 4\), got float32\[5\]"):
        jseq.draw(LINEAR, jnp.ones(5))
