"""Counts the statistical assertions of a whole run of the tests, by one process or by several of pytest-xdist."""

import os
import signal
import sys

import pytest

import harness

# A shell starts a program in the background with Ctrl-C ignored, and its children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Figures of pyplot need no screen.
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def no_figures_are_left():
    """Pyplot keeps its figures until they are closed, and warns of many."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def pytest_sessionfinish(session, exitstatus):
    """The threshold of the statistical harness is shared among at most so many assertions."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["accepted"] = harness.counted["accepted"]
    elif harness.counted["accepted"] > harness.ASSERTIONS:
        raise AssertionError(f"{dict(harness.counted)} statistical assertions; raise harness.ASSERTIONS")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Adds the assertions of a worker to this process, which compares their number last."""
    harness.counted["accepted"] += getattr(node, "workeroutput", {}).get("accepted", 0)
