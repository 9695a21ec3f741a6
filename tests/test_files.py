"""What is saved is loaded bit for bit, whatever happens meanwhile; and no file makes `load` do anything but read."""

import collections
import os
import subprocess
import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
import safetensors.numpy

import jseq
from jseq._interop.files import DTYPES, read_header, read_tensors
from jseq.errors import CallError, FileError, ParamsError
from tests.cases import CASES
from tests.state_dicts import TIED

CHOSEN = ["linear", "conv2d", "batch_norm", "lstm", "multihead_attention", "transformer_encoder", "repeat", "ensemble",
          "lora", "spectral_norm", "weight_norm", "graph", "packed"]  # fmt: skip
MODEL = jseq.sequential({"fc": jseq.linear(3, 4), "norm": jseq.batch_norm(4), "act": jax.nn.relu})


def filled(shapes):
    """A tree of these shapes with another number in each place."""
    leaves, structure = jax.tree.flatten(shapes)
    return structure.unflatten([np.arange(leaf.size).reshape(leaf.shape).astype(leaf.dtype) + i
                                for i, leaf in enumerate(leaves)])  # fmt: skip


def trees(model, x=None):
    return filled(jax.eval_shape(lambda: jseq.with_state(model).init(jax.random.key(0), x)))


PARAMS, STATE = trees(MODEL)


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape and np.asarray(x).tobytes() == np.asarray(y).tobytes()


@pytest.mark.parametrize("name", CHOSEN)
def test_a_model_comes_back_with_its_params_and_state(tmp_path, name):
    case = next(case for case in CASES if case.name == name)
    given = trees(case.layer, case.inputs())
    jseq.save(tmp_path / "file", case.layer, *given)
    model, params, state = jseq.load(tmp_path / "file")
    assert model == case.layer
    same((params, state), given)


def test_a_loaded_model_computes_what_it_computed(tmp_path):
    jseq.save(tmp_path / "file", TIED, trees(TIED)[0])
    model, params, state = jseq.load(tmp_path / "file")
    ids = jnp.arange(3)
    chex.assert_trees_all_equal(model.apply(params, ids), TIED.apply(trees(TIED)[0], ids))
    assert state is None and jseq.with_state(model).apply(params, state, ids)[0].shape == (3, 7)


def arrays_of_every_kind():
    made = {dtype: np.arange(6).reshape(2, 3).astype(jnp.dtype(dtype)).T for dtype in DTYPES.values()}  # not C-ordered
    return made | {
        "reversed": np.arange(5)[::-1], "broadcast": np.broadcast_to(np.float32(2), (3, 2)), "strided": np.eye(4)[::2],
        "no axes": np.asarray(7, np.int32), "empty": np.zeros((0, 4), jnp.bfloat16), "scalar": np.float32(3),
        "nan": np.array([np.nan, -0.0, np.inf], np.float16), "jax": jnp.arange(3),
    }  # fmt: skip


def test_every_dtype_and_order_of_memory_comes_back_bit_for_bit(tmp_path):
    given = arrays_of_every_kind()
    jseq.save_params(tmp_path / "file", {**given, "big-endian": np.arange(5, dtype=">f4")})
    read = jseq.load_params(tmp_path / "file", like={**given, "big-endian": np.zeros(5, np.float32)})
    same(read.pop("big-endian"), np.arange(5, dtype=np.float32))
    same(read, given)
    assert isinstance(read["bfloat16"], jax.Array) and not isinstance(read["float64"], jax.Array)  # 64 bits are off


def test_the_safetensors_library_reads_what_is_written_and_the_other_way_round(tmp_path):
    given = {name: np.asarray(array) for name, array in arrays_of_every_kind().items()}
    jseq.save_params(tmp_path / "ours", given)
    for name, entry in safetensors.deserialize((tmp_path / "ours").read_bytes()):
        array = given[name.removeprefix("params.")]
        assert (bytes(entry["data"]), tuple(entry["shape"])) == (array.tobytes(), array.shape)
    theirs = {name: np.array(array, order="C") for name, array in given.items() if "fnuz" not in name}
    safetensors.numpy.save_file(theirs, tmp_path / "theirs", {"format": "pt"})
    tensors, metadata = read_tensors(tmp_path / "theirs")
    assert metadata == {"format": "pt"}
    same({name: tensors[name] for name in theirs}, theirs)


def test_a_file_that_the_library_writes_anew_keeps_its_checksum(tmp_path):
    jseq.save(tmp_path / "ours", MODEL, PARAMS, STATE)
    with safetensors.safe_open(tmp_path / "ours", "np") as file:
        safetensors.numpy.save_file(
            {k: file.get_tensor(k) for k in list(file.keys())}, tmp_path / "theirs", file.metadata()
        )
    same(jseq.load(tmp_path / "theirs")[1:], (PARAMS, STATE))


def test_keys_come_back_as_keys(tmp_path):
    params = {"key": jax.random.key(1), "keys": jax.random.split(jax.random.key(2, impl="rbg"), 3)}
    jseq.save(tmp_path / "file", jseq.relu(), params)
    read = jseq.load(tmp_path / "file")[1]
    assert read["keys"].dtype == params["keys"].dtype
    same(jax.tree.map(jax.random.key_data, read), jax.tree.map(jax.random.key_data, params))
    with pytest.raises(FileError, match=r"1 mismatched: params\.key: expected key<rbg>\[\], got key<fry>\[\]"):
        jseq.load_params(tmp_path / "file", like={**params, "key": jax.random.key(0, impl="rbg")})


def test_plain_containers_come_back_as_they_were(tmp_path):
    params = ({"b": [np.ones(1), (), None, {}], "a": ([],)}, None)
    jseq.save(tmp_path / "file", jseq.relu(), params, [])
    _, read, state = jseq.load(tmp_path / "file")
    same(read, params)
    assert list(read[0]) == ["b", "a"] and state == []


def test_dots_in_keys_leave_every_array_its_name(tmp_path):
    params = {"a.b": np.ones(1), "a": {"b": np.ones(2), "b\\": {"c": np.ones(3)}, "b\\.c": np.ones(4)}, "": np.ones(5)}
    jseq.save(tmp_path / "file", jseq.relu(), params)
    same(jseq.load(tmp_path / "file")[1], params)
    same(jseq.load_params(tmp_path / "file", like=params), params)


def test_any_tree_is_saved_without_a_model(tmp_path):
    Moments = collections.namedtuple("Moments", "mean count")
    params = Moments({0: np.ones(2), 1: np.zeros(3)}, np.int32(4))
    jseq.save_params(tmp_path / "file", params, STATE)
    assert "params.mean.0" in read_header(tmp_path / "file").tensors
    same(jseq.load_params(tmp_path / "file", like=params, state=STATE), (params, STATE))
    with pytest.raises(FileError, match=r"holds params without a model.*load_params\(path, like=params\)"):
        jseq.load(tmp_path / "file")


class Spread:
    """Stands for an array that other processes hold parts of."""

    shape, dtype, is_fully_addressable = (3,), np.dtype("float32"), False


@pytest.mark.parametrize("params, message", [
    ({"fc": {"w": jnp.zeros(2, jnp.int4)}}, r"params\.fc\.w has the dtype int4, which safetensors"),
    ({"w": np.zeros(2, np.complex128)}, r"params\.w has the dtype complex128"),
    ({"w": np.array(["text"])}, r"params\.w has the dtype str"),
    (({"w": 0.5},), r"params\.0\.w is float 0\.5; a file holds arrays: jnp\.asarray"),
    ({1: np.ones(1)}, r"params is a dict with the key 1"),
    ([Spread()], r"params\.0 lies on devices of several processes.*Orbax"),
    ([collections.OrderedDict(a=np.ones(1))], r"params\.0 is a OrderedDict; .*jseq\.save_params"),
])  # fmt: skip
def test_what_a_file_cannot_hold_is_refused_with_its_place(tmp_path, params, message):
    with pytest.raises(FileError, match=message):
        jseq.save(tmp_path / "file", jseq.relu(), params)
    assert not os.listdir(tmp_path)


def test_a_model_that_json_cannot_hold_is_refused_with_the_call_that_works(tmp_path):
    model = jseq.sequential(jseq.relu(), jseq.residual(lambda x: x))
    with pytest.raises(CallError, match=r"<lambda at .*\(in sequential\.layers\[1\]\..*save_params\(path, params, st"):
        jseq.save(tmp_path / "file", model, ((), ()))
    with pytest.raises(ParamsError, match=r"keeps state, and none was given.*jseq\.save\(path, model, params, state\)"):
        jseq.save(tmp_path / "file", MODEL, PARAMS)
    with pytest.raises(CallError, match=r"expected a jseq layer, got .*jseq\.save\(path, model, params, state\)"):
        jseq.save(tmp_path / "file", PARAMS, MODEL)


def test_one_error_lists_all_that_does_not_fit(tmp_path):
    jseq.save_params(tmp_path / "file", {"a": np.ones(2), "b": np.ones(3), "c": np.ones((2, 2)), "d": np.ones(1, "i4")})
    like = {"b": np.ones(3, "f4"), "c": np.ones((2, 3)), "d": np.ones(1, "i4"), "e": jax.ShapeDtypeStruct((), "int8")}
    with pytest.raises(FileError) as caught:
        jseq.load_params(tmp_path / "file", like=like)
    assert str(caught.value).removeprefix(str(tmp_path / "file")) == (
        " does not fit: 1 missing: params.e int8[]; 1 unexpected: params.a float64[2]; 2 mismatched: "
        "params.b: expected float32[3], got float64[3], params.c: expected float64[2,3], got float64[2,2]."
    )


def test_state_is_asked_for_where_the_file_has_some(tmp_path):
    jseq.save(tmp_path / "file", MODEL, PARAMS, STATE)
    with pytest.raises(FileError, match=r"3 unexpected: state\.norm.*params, state = jseq\.load_params\(path, like="):
        jseq.load_params(tmp_path / "file", like=PARAMS)


def test_files_of_others_are_read_by_the_paths_of_the_tree(tmp_path):
    flat = {"fc.weight": PARAMS["fc"]["weight"], "fc.bias": PARAMS["fc"]["bias"], "norm.weight": np.ones(4)}
    safetensors.numpy.save_file(flat, tmp_path / "file")
    nested = {"fc": PARAMS["fc"], "norm": {"weight": np.ones(4)}}
    same(jseq.load_params(tmp_path / "file", like=nested), nested)
    same(jseq.load_params(tmp_path / "file", like=flat), flat)
    split = {"fc": nested["fc"]}, {"norm": nested["norm"]}
    same(jseq.load_params(tmp_path / "file", like=split[0], state=split[1]), split)
    with pytest.raises(
        FileError, match=r"did not write: .*load_params\(path, like=.*load_torch_state_dict\(model, path"
    ):
        jseq.load(tmp_path / "file")


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "file"
    jseq.save(path, MODEL, PARAMS, STATE)
    return path


def test_an_error_while_saving_leaves_the_old_file_alone(saved):
    class Lost:
        shape, dtype = (3,), np.dtype("float32")

        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("the device is gone")

    before = saved.read_bytes()
    with pytest.raises(RuntimeError, match="the device is gone"):
        jseq.save_params(saved, [np.ones(4), Lost()])
    assert saved.read_bytes() == before and os.listdir(saved.parent) == ["file"]


def test_permissions_and_links_stay(saved, tmp_path):
    umask = os.umask(0)
    os.umask(umask)
    assert saved.stat().st_mode & 0o777 == 0o666 & ~umask
    saved.chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    jseq.save_params(tmp_path / "link", np.ones(3))
    assert (tmp_path / "link").is_symlink() and saved.stat().st_mode & 0o777 == 0o640
    same(jseq.load_params(saved, like=np.ones(3)), np.ones(3))


def test_only_files_are_written_over_and_read(tmp_path):
    for path in (tmp_path, os.devnull):
        with pytest.raises(FileError, match="is no file, and is not written over"):
            jseq.save_params(path, ())
        with pytest.raises(FileError, match="is no file"):
            jseq.load(path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        jseq.save_params(tmp_path / "a" / "b", ())
    with pytest.raises(FileNotFoundError):
        jseq.load(tmp_path / "b")


KILLS = """
import os, random, signal, sys, time
import numpy as np
from jseq._interop.files import write_tensors

def save(number):
    write_tensors("file", {"a": np.full(500_000, number, np.float32), "b": np.full(300, number, np.int8)}, {})

save(0)
for trial in range(8):
    child = os.fork()  # quicker than a new interpreter; no thread of jax's runs yet
    if child == 0:
        for number in range(1, 10**6):
            save(number % 100)
    time.sleep(random.Random(trial).uniform(0.005, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.link("file", f"after-{trial}")  # what is there at this moment
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL and fork are POSIX")
def test_a_process_killed_while_it_saves_leaves_a_whole_file(tmp_path):
    root = Path(jseq.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", KILLS], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)},
                          capture_output=True, text=True, timeout=100)  # fmt: skip
    assert done.returncode == 0, done.stderr
    for trial in range(8):
        tensors, _ = read_tensors(tmp_path / f"after-{trial}")
        assert (tensors["a"] == tensors["b"][0]).all() and tensors["b"].shape == (300,)
