"""Files of every version of the format that was ever written, kept in tests/data: they load, with known numbers.

A new version of the format adds files and numbers; those that are here stay as they are.
"""

from pathlib import Path

import numpy as np
import pytest

import nnqm

DATA = Path(__file__).parent / "data"

# Printed by the package that wrote the files.
KNOWN = {
    "oscillator": {
        "keys": (7434755675892716031,),
        "n_paths": 512,
        "dt": 0.1,
        "hbar": 3.0,
        "mass": 0.5,
        "precision": "float32",
        "channels": ("x",),
        "lags": (0, 1, 3),
        "mean": -0.015985928712084083,
        "error": 0.05794415208121811,
        "two_point": [1.5699882707954096, 1.3120173865117266, 0.8395129303458817],
        "kurtosis": -0.08798005973053735,
        "quadratic_variation": [0.543121041727627],
        "observables": 59732.361218333244,
        "two_time": [
            1.4629266386939932,
            1.2331641499654735,
            1.0112991822373383,
            0.78102739610135,
            0.5986205843193488,
            0.48760064310143153,
        ],
    },
    "random-weights": {
        "keys": (10128210881749538955,),
        "n_paths": 512,
        "dt": 0.2,
        "hbar": 1.0,
        "mass": 1.0,
        "precision": "float64",
        "channels": ("x", "y"),
        "lags": (0, 1, 3),
        "mean": -0.000601710841304671,
        "error": 0.02676356264391205,
        "two_point": [0.4857064306022281, 0.3970520080139408, 0.26611061256439944],
        "kurtosis": 0.12677299135854136,
        "quadratic_variation": [0.17327060200168792],
        "observables": 188938.3227135173,
    },
    "ground-state": {
        "keys": (12467808127879573787,),
        "n_paths": 512,
        "dt": 0.2,
        "hbar": 1.0,
        "mass": 1.0,
        "precision": "float32",
        "channels": ("x", "y"),
        "lags": (0, 1, 3),
        "mean": -0.011442331995770171,
        "error": 0.021046403839868347,
        "two_point": [0.2655784520335943, 0.18335120805131705, 0.0820693574974869],
        "kurtosis": -0.1662417993723313,
        "quadratic_variation": [0.16437812077419653],
        "observables": 12071.733172416687,
    },
    "user-paths": {
        "keys": (),
        "n_paths": 40,
        "dt": 0.05,
        "hbar": 2.0,
        "mass": 3.0,
        "precision": "float64",
        "channels": ("a", "b"),
        "lags": (0, 1, 3),
        "mean": -0.16818089656220359,
        "error": 0.3043910368514374,
        "two_point": [4.045855401242636, 3.6380655367608963, 2.583179550763801],
        "kurtosis": 1.0498015119850272,
        "quadratic_variation": [0.9387033390777255],
        "observables": 3825.072494217472,
        "two_time": [
            0.8926737871996618,
            1.1435413631776825,
            1.3294383857619645,
            1.3066421139971824,
            1.0353945503641937,
            0.9320602891629555,
        ],
    },
}

RANDOM = nnqm.RandomNetwork(
    (1, 4, 1), "tanh", weights=["cauchy", nnqm.Density("student-t", 5.0)], weight_std=[1.0, 0.8], bias_std=0.5, group=8
)
THEORIES = {
    "oscillator": nnqm.harmonic_oscillator(2.0, mass=0.5, hbar=3.0),
    "random-weights": nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), RANDOM),
    "ground-state": nnqm.Theory(
        nnqm.GroundStateProcess(nnqm.Hamiltonian([0, 0, 0.5, 0, 1])),
        nnqm.Network.random((1, 3, 1), "sin", rng=3, bias_std=0.5),
    ),
    "user-paths": None,
}


FORMATS = (1, 2)
FILES = [(form, name) for form in FORMATS for name in KNOWN]


def saved(form, name):
    return DATA / f"format-{form}-{name}.nc"


def test_every_file_is_looked_at():
    assert sorted(DATA.glob("*.nc")) == sorted(saved(*file) for file in FILES)
    assert all(path.stat().st_size < 30_000 for path in DATA.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("form", "name"), FILES)
def test_old_files_load_with_their_numbers(form, name):
    run, known = nnqm.load(saved(form, name)), KNOWN[name]
    assert run.theory == THEORIES[name]
    for attribute in ("keys", "dt", "hbar", "mass", "precision", "channels", "lags"):
        assert getattr(run, attribute) == known[attribute], attribute
    assert run.block_paths.sum() == known["n_paths"]
    channel = run.channels[-1]
    found = {
        "mean": run.mean(channel).value,
        "error": run.mean(channel).error,
        "two_point": run.two_point(channel).value,
        "kurtosis": run.kurtosis(channel).value,
        "quadratic_variation": nnqm.quadratic_variation(run, channel).value,
        "observables": run.sums["observable_lags"].sum(),
    }
    if "two_time" in known:
        found["two_time"] = run.two_time_function().value[0]
    for key, value in found.items():
        np.testing.assert_allclose(value, known[key], rtol=1e-11, err_msg=key)


@pytest.mark.slow
def test_paths_of_a_user_have_the_sums_of_numpy():
    # Independent of what the package once printed.
    x = np.random.default_rng(4).normal(size=(40, 6, 2)).cumsum(axis=1)
    run = nnqm.load(saved(1, "user-paths"))
    np.testing.assert_allclose(run.mean("a").value, x[:, :, 0].mean(), rtol=1e-12)
    np.testing.assert_allclose(run.two_point("b").value[1], np.mean(x[:, 1:, 1] * x[:, :-1, 1]), rtol=1e-12)
    np.testing.assert_allclose(run.two_time_function().value, x[:, :, 1].T @ x[:, :, 1] / 40, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWN)
def test_old_files_are_saved_again_without_loss(name, tmp_path):
    run = nnqm.load(saved(1, name))
    assert nnqm.load(saved(2, name)) == run
    assert nnqm.load(nnqm.save(run, tmp_path / "again.nc")) == run


@pytest.mark.slow
@pytest.mark.parametrize("name", ["oscillator", "random-weights", "ground-state"])
def test_old_runs_go_on(name):
    run = nnqm.load(saved(1, name))
    if run.level == nnqm.build_info()["level"]:
        longer = nnqm.extend(run, 1024)
        assert longer.block_paths.sum() == 1024
        assert longer.keys == run.keys
    else:
        with pytest.raises(ValueError, match=f"set NNQM_LEVEL={run.level} for the same bits"):
            nnqm.extend(run, 1024)
