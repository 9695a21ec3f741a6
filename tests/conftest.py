"""The whole suite runs under strict promotion, with two CPU devices, and with every warning an error."""

import gc
import os
from typing import Any

import jax
import pytest

# jax writes cache entries in place, so that two workers of one cache can read each other's halves.
if {"JAX_COMPILATION_CACHE_DIR", "PYTEST_XDIST_WORKER"} <= os.environ.keys():
    own = os.path.join(os.environ["JAX_COMPILATION_CACHE_DIR"], os.environ["PYTEST_XDIST_WORKER"])
    os.environ["JAX_COMPILATION_CACHE_DIR"] = own  # for the examples, which run in processes of their own
    jax.config.update("jax_compilation_cache_dir", own)

jax.config.update("jax_num_cpu_devices", 2)  # for the laws about sharding
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

gc.set_threshold(50_000, 20, 20)  # tracing makes much short-lived garbage; collecting it less often is quicker
# Tests: each compiled program keeps 1.4 MB, and slows the compilation of the next, from 15 ms to 25 after a thousand.
BETWEEN_CLEARINGS = 100
finished = 0


@pytest.fixture
def trace_for(monkeypatch):
    """A function that has what is traced from then on be that of a platform."""

    def patch(platform: str) -> None:
        monkeypatch.setattr(
            jax.lax, "platform_dependent",
            lambda *args, default, **platforms: platforms.get(platform, default)(*args),
        )  # fmt: skip

    return patch


def is_stack(case: Any) -> bool:
    """Stacks of layers that have cases of their own take a seventh of all laws' time."""
    return case.name in ("transformer", "transformer_encoder", "transformer_decoder")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `case` runs over every public layer; one that takes `variant`, over all combinations."""
    from tests.cases import CASES, VARIANTS

    slow_for = metafunc.definition.get_closest_marker("slow_for")
    for name, cases in (("case", CASES), ("variant", VARIANTS)):
        if name not in metafunc.fixturenames:
            continue
        marked = []
        for case in cases:
            marks = [pytest.mark.xdist_group(str(case))]  # one worker runs all laws of a case, and so compiles it once
            if is_stack(case) or (slow_for and slow_for.kwargs["when"](case)):
                marks.append(pytest.mark.slow)
            marked.append(pytest.param(case, marks=marks, id=str(case)[:80]))
        metafunc.parametrize(name, marked)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the laws of one case behind each other, so that they share what was compiled."""
    from tests.cases import CASES

    order = {id(case): place for place, case in enumerate(CASES, 1)}

    def place(item: pytest.Item) -> int:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        return order.get(id(parameters.get("case")), 0)

    items.sort(key=place)


def pytest_runtest_teardown() -> None:
    """Lets go of compiled programs now and then."""
    from tests.case import compiled

    global finished
    finished += 1
    if finished % BETWEEN_CLEARINGS == 0:
        compiled.cache_clear()
        jax.clear_caches()
