"""Verdicts: they equal their text, each is given by some code and explained, and they decide on colours."""

import ast
import copy
import pickle

import numpy as np
import pytest

import house
import nnqm
from nnqm import Verdict
from nnqm.report.table import Group, Row

SOURCES = {m: (house.SOURCE / (m.replace(".", "/") + ".py")).read_text() for m in house.modules()}


def test_a_verdict_is_its_text():
    for verdict in Verdict:
        assert verdict == verdict.value == str(verdict) == f"{verdict}"
        assert repr(verdict) == repr(verdict.value)
        assert Verdict(verdict.value) is verdict
        assert pickle.loads(pickle.dumps(verdict)) is copy.deepcopy(verdict) is verdict
    assert {Verdict.NOISE: 1}["noise"] == 1
    with pytest.raises(ValueError, match="fine"):
        Verdict("fine")


@pytest.mark.parametrize("verdict", Verdict, ids=lambda v: v.name)
def test_every_verdict_is_given_and_explained(verdict):
    users = [m for m, text in SOURCES.items() if m != "verdict" and f"Verdict.{verdict.name}" in text]
    assert users
    assert verdict.name in Verdict.__doc__


def compared_texts(text):
    """Texts that are compared with the attribute ``verdict`` of something."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(isinstance(s, ast.Attribute) and s.attr == "verdict" for s in sides):
                yield from (s.value for s in sides if isinstance(s, ast.Constant) and isinstance(s.value, str))


@pytest.mark.slow
def test_no_code_compares_verdicts_with_texts():
    assert not {m: found for m, text in SOURCES.items() if (found := list(compared_texts(text)))}
    # Negative control.
    assert list(compared_texts('if found.verdict == "noise":\n    pass')) == ["noise"]


def row(verdict, **others):
    return Row("q", None, None, verdict, Group.LEVELS, **others)


def test_rows_print_verdict_remarks_caveat_and_reason():
    assert row(None).cells[-1] == ""
    assert row(Verdict.RESOLVED, remarks=("2 seen",), caveat=Verdict.DEVIATES).cells[-1] == "resolved, 2 seen, deviates"
    assert row(Verdict.NOT_RESOLVED, reason="noise").cells[-1] == "not resolved: noise"
    assert row(Verdict.OK, remarks=("operator", "from dt = 0.1")).cells[-1] == "ok, operator, from dt = 0.1"


@pytest.mark.parametrize("verdict", Verdict, ids=lambda v: v.name)
def test_a_row_is_sound_by_its_verdict_alone(verdict):
    assert row(verdict).sound == (verdict in ("ok", "resolved", "consistent"))
    for caveat in (Verdict.DEVIATES, Verdict.UPPER_BOUND):
        assert not row(verdict, caveat=caveat).sound
    # Remarks and reasons are for reading.
    assert row(verdict, remarks=("ok", "deviates"), reason="noise").sound == row(verdict).sound


@pytest.mark.slow
def test_results_carry_verdicts():
    run = nnqm.simulate(nnqm.builtin_theory("deep-tanh"), 8192, 64, 0.2, rng=1)
    report = nnqm.analyse(run)
    found = nnqm.spectrum(run, 5)
    correlator = nnqm.OneCorrelator(run)
    results = [
        *report,
        *found.levels,
        found.advice,
        *correlator.plateau().levels,
        *correlator.rayleigh_ritz().levels,
        nnqm.commutator(run),
        nnqm.momentum_squared(run),
        nnqm.uncertainty(run),
        nnqm.clustering(run),
        report.details["positivity"],
        report.details["commutator"],
        nnqm.positivity_certificate(lambda t: np.exp(-t)),
        *nnqm.check(nnqm.Kernel.matern(1.5)),
        *nnqm.hidden_spectrum(np.random.default_rng(1).normal(size=(400, 32)), delay=1).levels,
    ]
    assert all(isinstance(result.verdict, Verdict) for result in results)


def test_the_reason_of_an_input_error_stands_apart_from_the_remedy():
    from nnqm.errors import InputError, located

    error = InputError("x is 1", "give 2")
    assert (str(error), error.reason, error.remedy) == ("x is 1; give 2", "x is 1", "give 2")
    assert InputError("x is 1; y").reason == "x is 1; y"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.reason, again.remedy) == (str(error), error.reason, error.remedy)
    with pytest.raises(InputError, match=r"^file a: x is 1; give 2$") as caught, located("file a"):
        raise error
    assert caught.value.reason == "file a: x is 1"
