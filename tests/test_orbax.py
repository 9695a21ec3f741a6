"""The page about Orbax: a run that is killed goes on to the last bit, and sharded arrays come back as asked for."""

import contextlib
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import chex
import jax
import numpy as np
import pytest

from tests import pages

pytest.importorskip("orbax.checkpoint")

PAGE = pages.ROOT / "docs" / "how-to" / "checkpoints-with-orbax.md"
SOURCES = [source for _, _, source in pages.blocks(PAGE.read_text(encoding="utf-8"))]
DEFINITIONS = "".join(itertools.takewhile(lambda source: not source.startswith("train("), SOURCES))
PATIENCE = 120  # seconds; a checkpoint takes a tenth of one


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def page(source):
    names = {}
    with contextlib.redirect_stdout(None):
        exec(compile(source, str(PAGE), "exec"), names)
    return names


def bits(tree):
    def of(leaf):
        return jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf

    return jax.tree.map(lambda leaf: np.asarray(of(leaf)), tree)


def test_all_of_the_page_runs_on_two_devices():
    names = page("".join(SOURCES))
    assert jax.device_count() == 2
    weight = names["scattered"]["params"][0]["weight"]
    assert [shard.data.shape for shard in weight.addressable_shards] == [(4, 16), (4, 16)]
    advanced = names["advance"](names["scattered"])
    assert advanced["step"] == 31
    # Two devices add up in another order, and Adam divides by roots of what is small: one step is at most 1e-2.
    chex.assert_trees_all_close(
        bits(advanced["params"]), bits(names["advance"](names["whole"])["params"]), rtol=1e-4, atol=1e-4
    )


def test_a_run_that_is_killed_goes_on_to_the_last_bit():
    names = page(DEFINITIONS)
    program = f"import jax\njax.config.update('jax_num_cpu_devices', {jax.device_count()})\n{DEFINITIONS}"
    Path("run.py").write_text(program + "train('killed', 10**9)\n", encoding="utf-8")
    path = os.pathsep.join([str(pages.ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    run = subprocess.Popen([sys.executable, "run.py"], env={**os.environ, "PYTHONPATH": path})
    end = time.monotonic() + PATIENCE

    def steps():
        folder = Path("killed")
        return [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.is_dir() else []

    while not any(step >= 30 for step in steps()) and run.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    run.kill()
    assert run.wait() == -9
    last = max(steps())
    assert last >= 30
    resumed = names["train"]("killed", last + 7)
    whole = names["train"]("whole", last + 7, every=10**9)
    assert resumed["step"] == last + 7
    chex.assert_trees_all_equal(bits(resumed), bits(whole))
