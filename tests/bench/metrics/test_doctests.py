"""The examples in the docstrings are true, also where pytest is not pointed at bench/."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

import bench.metrics
from bench.metrics import boundary, error, overlap


@pytest.mark.parametrize("module", [bench.metrics, boundary, error, overlap], ids=lambda module: module.__name__)
def test_docstring_examples(module: ModuleType) -> None:
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize("name", [name for name in bench.metrics.__all__ if name != "METRIC_VERSION"])
def test_every_public_function_has_an_example_and_states_its_empty_rule(name: str) -> None:
    text = getattr(bench.metrics, name).__doc__
    assert ">>>" in text
    assert "Empty masks" in text
