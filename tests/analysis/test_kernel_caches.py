"""An analyzer before it reads anything."""

import os

import pytest

from mmmie.analysis.analyzer import KERNEL_CACHES, KERNELS_KEPT, Analyzer
from mmmie.analysis.request import PACKAGED_RUN, Request
from mmmie.settings import AnalysisSettings


def test_few_kernels_are_kept_unless_the_user_has_said_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    given, other = KERNEL_CACHES
    monkeypatch.setenv(given, "7")
    monkeypatch.setenv(other, "")  # so that what is set below is undone
    monkeypatch.delenv(other)
    Analyzer(Request(AnalysisSettings(), PACKAGED_RUN))
    assert (os.environ[given], os.environ[other]) == ("7", KERNELS_KEPT)
