"""Requests above the memory of the machine are refused by name before anything is allocated."""

import numpy as np
import pytest

import nnqm
from interpreter import answer
from nnqm import fields, learning
from nnqm._memory import control_group_limits, memory, need_memory
from nnqm.errors import InputError

oscillator = nnqm.harmonic_oscillator()
inputs = nnqm.OrnsteinUhlenbeck(1.0)
drawn = nnqm.Theory(inputs, nnqm.RandomNetwork([1, 16, 1]))

# Each needs more than 8 TiB.
ABSURD = {
    "the paths": lambda: nnqm.sample_paths(oscillator, 10**10, 1000, 0.1),
    "grid of times": lambda: nnqm.simulate(oscillator, 64, 2**33, 0.1),
    "two_time most of it": lambda: nnqm.simulate(oscillator, 64, 10**7, 0.1, measure=nnqm.Measure(two_time=True)),
    "modes of a thermal process": lambda: nnqm.simulate(
        nnqm.Theory(nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=10.0)), 640, 10**6
    ),
    "the futures": lambda: nnqm.simulate_two_level(oscillator, 64, 10**12, 100, 0.1),
    "the weights": lambda: nnqm.draw_weights(drawn, 10**13),
    "10000000000 networks": lambda: fields.drawn_neurons(fields.NeuronField("tanh"), [[1.0]], 10**10, width=1000),
    "the outputs of the network": lambda: nnqm.apply(
        nnqm.Network([np.ones((2**17, 1))]), np.broadcast_to(np.float32(0), (10**6, 100, 1))
    ),
    "averages of the paths": lambda: nnqm.clustering(nnqm.Paths(oscillator, 2**52, 8, 0.1, rng=1), n_paths=2**52),
    "series in float64": lambda: nnqm.autocorrelation_time(np.broadcast_to(np.arange(1000.0), (10**10, 1000))),
    "the numbers": lambda: nnqm.Density("gaussian").sample(10**14, 1),
    "the hidden layers": lambda: learning.ground_state_network(nnqm.Hamiltonian([0, 0, 0.5]), hidden=[2**20] * 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("words", ABSURD)
def test_absurd_sizes_are_refused_by_name(words):
    with pytest.raises(InputError, match=rf"{words}.* would take .* GiB, and .* GiB|would take .* GiB.*{words}"):
        ABSURD[words]()


def test_the_message_has_sizes_and_a_remedy():
    with pytest.raises(InputError) as caught:
        need_memory(2.0**60, "the paths", "use fewer of them", "10 paths")
    assert "the paths would take 1.07e+09 GiB, and " in caught.value.reason
    assert caught.value.reason.endswith("; got 10 paths")
    assert caught.value.remedy == "use fewer of them"
    need_memory(1.0, "a byte", "nothing")


def test_limits_of_control_groups(tmp_path):
    # Version 2 of a batch job, whose parent has the smaller limit, and version 1 beside controllers without memory.
    groups = tmp_path / "cgroup"
    groups.write_text("0::/slurm/job_7\n5:cpu,memory:/batch\n3:cpuset:/\n")
    limits = {
        "slurm/job_7/memory.max": "max",
        "slurm/memory.max": "4096",
        "memory/batch/memory.limit_in_bytes": "8192",
        "memory/memory.limit_in_bytes": "16384",
        "cpuset/memory.limit_in_bytes": "1",
    }
    for name, text in limits.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert control_group_limits(groups, tmp_path) == [4096, 8192, 16384]
    assert control_group_limits(tmp_path / "none", tmp_path) == []


LIMITED = """
import resource
import nnqm
from nnqm._memory import memory
resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30,) * 2)
held, words = memory()
assert 0 < held < 6 * 2**30 and "ulimit" in words
try:
    nnqm.sample_paths(nnqm.harmonic_oscillator(), 10**7, 200, 0.1)
except nnqm.errors.InputError as error:
    print("ulimit -v" in str(error))
"""


@pytest.mark.slow
@pytest.mark.skipif(memory()[0] < 7 * 2**30, reason="the machine has less memory than the limit")
def test_the_limit_of_the_address_space_counts():
    pytest.importorskip("resource")
    assert answer(LIMITED) == "True"
