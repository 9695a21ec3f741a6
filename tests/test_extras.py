"""A library that is missing is named, with the command that installs it."""

import sys

import pytest

from jseq._interop import extras


def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch):
    for name in ("safetensors", "safetensors.numpy"):  # another test may have imported both
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"safetensors is not installed.*pip install 'jseq\[io\]'"):
        extras.need("safetensors.numpy", "io")


def test_what_an_installed_library_misses_is_not_blamed_on_the_extra(tmp_path, monkeypatch):
    (tmp_path / "present_library.py").write_text("import absent_library")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="absent_library"):
        extras.need("present_library", "io")
