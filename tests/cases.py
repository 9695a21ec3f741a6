"""Every public layer once: the list that all laws run over. A public layer missing here fails test_cases.py."""

from importlib import import_module
from pathlib import Path

from tests.case import Case


def families() -> dict[str, list[Case]]:
    """The cases of each file in tests/families, with their variants."""
    names = sorted(path.stem for path in (Path(__file__).parent / "families").glob("[a-z]*.py"))
    listed = {name: import_module(f"tests.families.{name}").CASES for name in names}
    return {name: [v for case in cases for v in (case, *case.variants)] for name, cases in listed.items()}


VARIANTS: list[Case] = [case for cases in families().values() for case in cases]
VARIED = {id(variant) for case in VARIANTS for variant in case.variants}
CASES: list[Case] = [case for case in VARIANTS if id(case) not in VARIED]
FAMILY_OF = {id(case): family for family, cases in families().items() for case in cases}
