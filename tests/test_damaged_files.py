"""A damaged or malicious file is refused: `load` allocates no more than the file's size, and runs nothing."""

import copy
import json
import os
import random
import sys
import tracemalloc

import jax
import numpy as np
import pytest

import jseq
from jseq._interop.files import write_tensors
from jseq.errors import FileError
from tests.cases import VARIANTS

MODEL = jseq.sequential({"fc": jseq.linear(3, 4), "norm": jseq.batch_norm(4), "act": jax.nn.relu})
PARAMS = {"fc": {"weight": np.full((3, 4), 0.1, np.float32), "bias": np.arange(4.0)}, "norm": {"scale": np.ones(4)},
          "act": ()}  # fmt: skip
STATE = {"norm": {"mean": np.arange(4.0), "count": np.int32(5)}}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "file"
    jseq.save(path, MODEL, PARAMS, STATE)
    return path


def test_a_flipped_bit_is_noticed(saved):
    data = saved.read_bytes()
    start = data.index(b"sha256"), data.index(b"model")  # the checksum, and what says that there is one
    positions = [*range(8 * start[0], 8 * start[1], 3), *random.Random(0).sample(range(8 * len(data)), 150)]
    for position in positions:
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        saved.write_bytes(flipped)
        with pytest.raises(FileError, match=r"damaged|has the format|did not write"):
            jseq.load(saved)
        with pytest.raises(FileError):
            jseq.load_params(saved, like=PARAMS, state=STATE)


def test_a_truncated_file_is_noticed(saved):
    data = saved.read_bytes()
    for length in range(0, len(data), 11):
        saved.write_bytes(data[:length])
        with pytest.raises(FileError, match="is damaged, or no safetensors file"):
            jseq.load(saved)


def raw(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), place=(0, 8), **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": place, **more}


HOSTILE = {
    "nothing": b"",
    "short": b"\x02\0\0",
    "length 2^63": raw(b"{}", length=2**63),
    "length 200 MB": raw(b"{}", length=200_000_000),
    "length one too many": raw(b"{}", length=3),
    "no json": raw(b"{nothing"),
    "no utf-8": raw(b'{"\xff": 1}'),
    "utf-16": raw("{}".encode("utf-16")),
    "a list": raw([]),
    "deep": raw(b"[" * 200_000),
    "deep objects": raw(b'{"a":' * 100_000),
    "a number of a million digits": raw(b'{"a":' + b"9" * 1_000_000 + b"}"),
    "metadata no texts": raw({"__metadata__": {"jseq": 1}}),
    "metadata no object": raw({"__metadata__": "jseq"}),
    "no entry": raw({"a": 3}),
    "no shape": raw({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, bytes(8)),
    "unknown dtype": raw({"a": entry("F99")}, bytes(8)),
    "dtype no text": raw({"a": entry([])}, bytes(8)),
    "overlap": raw({"a": entry(), "b": entry(place=[4, 12])}, bytes(12)),
    "hole": raw({"a": entry(), "b": entry(place=[12, 20])}, bytes(20)),
    "out of bounds": raw({"a": entry()}, bytes(4)),
    "trailing": raw({"a": entry()}, bytes(12)),
    "backwards": raw({"a": entry(place=[8, 0])}, bytes(8)),
    "shape and bytes differ": raw({"a": entry(shape=[3])}, bytes(8)),
    "2^40 numbers": raw({"a": entry(shape=[2**40], place=[0, 2**42])}, bytes(8)),
    "overflow": raw({"a": entry(shape=[2**62, 4], place=[0, 0])}),
    "empty and enormous": raw({"a": entry(shape=[0, 2**62, 4], place=[0, 0])}),
    "negative": raw({"a": entry(shape=[-2, -1])}, bytes(8)),
    "true": raw({"a": entry(shape=[True, 2])}, bytes(8)),
    "fractions": raw({"a": entry(shape=[2.0])}, bytes(8)),
    "a million axes": raw({"a": entry(shape=[2**40] * 100_000)}, bytes(8)),
    "no booleans": raw({"a": entry("BOOL", [2], [0, 2])}, b"\1\2"),
    "no numpy form": raw({"a": entry("F4", [16])}, bytes(8)),
    "pickle": b"cos\nsystem\n(S'touch pickled'\ntR.",
    "zip": b"PK\x03\x04" + bytes(100),
}  # fmt: skip


REFUSED = "is damaged, or no safe|no numpy form|is damaged: (a byte|array is too big|maximum supported)"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_malicious_file_is_refused_within_its_size(tmp_path, name):
    (tmp_path / "file").write_bytes(HOSTILE[name])
    tracemalloc.start()
    try:
        for read in (jseq.load, lambda path: jseq.load_params(path, like=np.zeros(2, np.float32))):
            with pytest.raises(
                FileError,
                match=REFUSED,
            ):
                read(tmp_path / "file")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000 + 2 * len(HOSTILE[name])


def test_names_are_never_paths(tmp_path):
    (tmp_path / "file").write_bytes(raw({"../../etc/passwd": entry()}, bytes(8)))
    read = jseq.load_params(tmp_path / "file", like={"../../etc/passwd": np.zeros(2, np.float32)})
    assert list(read) == ["../../etc/passwd"]


def layer_json(name, **arguments):
    return json.dumps({"layer": name, "arguments": arguments})


def lift_json(name):
    return {"model": layer_json("jseq.lift", function={"function": name})}


GOOD = {"model": layer_json("jseq.relu"), "params": '{"tuple":[]}', "state": "null"}
FORGED = {
    "a command": ({"model": layer_json("os.system", command="touch forged")}, "no layer is called 'os.system'"),
    "a layer not imported": ({"model": layer_json("antigravity.layer")}, "import the module that defines it first"),
    "a function of another module": (lift_json("os.getcwd"), "no function"),
    "a function that reads files": (lift_json("jax.numpy.load"), "no function"),
    "a private function": (lift_json("jax.numpy.__getattr__"), "no function"),
    "a module": (lift_json("jax.numpy.linalg"), "no function"),
    "an unknown argument": ({"model": layer_json("jseq.relu", secret=1)}, "unexpected keyword"),
    "an argument of no sense": ({"model": layer_json("jseq.linear", in_features={}, out_features=[])}, "can be built"),
    "copies without end": ({"model": layer_json("jseq.repeat", layer={"layer": "jseq.relu", "arguments": {}}, n=10**9)},
                           "asks for 1000000000 copies"),
    "copies, and fewer than none": ({"model": layer_json("jseq.sequential", layers=[{"n": 10**9}, {"n": -(10**9)}])},
                                    "asks for 2000000000 copies"),
    "a deep model": ({"model": '{"layer":"jseq.remat","arguments":{"layer":' * 5_000 + "1" + "}}" * 5_000},
                     "recursion"),
    "a model that is no json": ({"model": "{"}, "can be built"),
    "a model that is a list": ({"model": "[]"}, "expected a config"),
    "deep params": ({"params": '{"tuple":[' * 5_000 + "]}" * 5_000}, "recursion"),
    "params without structure": ({"params": "3"}, "params is 3"),
    "params of an unknown container": ({"params": '{"set":[]}'}, r"params is \{'set'"),
    "an array that is missing": ({"params": '{"tuple":["array"]}'}, r"params\.0 is 'array', and there is no such"),
    "keys of no kind": ({"keys": '{"a":"os.system"}'}, "cannot be made"),
    "keys that are missing": ({"keys": '{"b":"threefry2x32"}'}, "cannot be made"),
    "keys that are a list": ({"keys": "[1]"}, "cannot be made"),
    "an array too many": ({}, "no place in its trees: a"),
    "a newer format": ({"jseq": "2"}, "has the format '2' of jseq; this jseq reads '1'"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_file_with_a_true_checksum_runs_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    texts, message = FORGED[name]
    write_tensors("file", {"a": np.zeros(2, np.uint32)}, GOOD | texts)
    modules = set(sys.modules)
    with pytest.raises(FileError, match=message):
        jseq.load("file")
    assert set(sys.modules) == modules and os.listdir() == ["file"]


def places_of_numbers(node, place=()):
    if type(node) is int:
        yield place
    elif isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from places_of_numbers(value, (*place, key))


def test_no_number_in_a_config_costs_memory():
    found = {}
    for case in VARIANTS:
        config = jseq.to_config(case.layer)
        for place in places_of_numbers(config):
            found[case.name, tuple(key for key in place if isinstance(key, str))] = config, place
    assert len(found) > 300
    tracemalloc.start()
    try:
        for config, place in found.values():
            huge = node = copy.deepcopy(config)
            for key in place[:-1]:
                node = node[key]
            node[place[-1]] = 3_000_000
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            try:
                jseq.from_config(huge)
            except jseq.errors.LayerError:
                continue
            assert tracemalloc.get_traced_memory()[1] - before < 2_000_000, (config, place)
    finally:
        tracemalloc.stop()


def test_sizes_in_a_model_allocate_nothing(tmp_path):
    write_tensors(
        tmp_path / "file", {}, GOOD | {"model": layer_json("jseq.linear", in_features=10**12, out_features=10)}
    )
    assert jseq.load(tmp_path / "file")[0] == jseq.linear(10**12, 10)
