"""Damaged inputs of each kind: theory files, saved runs, files of paths and of weights, 2,000 of each.

Each input is a valid file that was changed at random: bits, bytes, cuts, splices, words of its language, numbers of
its header. Worker processes read them by the functions that users call, and every tenth by the command line. An input
counts as

- read, or refused by one line without control characters,
- a traceback: any other error, or a warning; several lines; control characters,
- a hang: more than 10 s of the processor, or 60 s,
- a crash: the process ended,
- too large: 1 GiB of memory more than before,
- a false result: a saved run that loads with other numbers.

All but the first must be 0. ``--toy``: a few inputs of each kind in this process, and readers with each fault, which
must be found. ``--kind`` and ``--first`` repeat some inputs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import re
import resource
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import nnqm
from nnqm.cli import main as command_line
from nnqm.errors import InputError, InputTypeError
from nnqm.files.path_file import read_path_file
from nnqm.learning.checkpoints import theories_of_checkpoints
from nnqm.sampling.correlators import Correlators

SECONDS, BYTES = 10.0, 2**30
GOOD = ("read", "refused")
FAULTS = ("traceback", "several lines", "control characters", "hang", "crash", "too large", "false result")
COMMAND = re.compile(r"[^\x20-\x7e\u00a0-\uffff\n]")


class Kind(NamedTuple):
    """Valid files, the words to damage them with, and the functions that read them."""

    suffix: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    command: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


# ---- valid files


def run() -> Correlators:
    return nnqm.simulate(
        nnqm.builtin_theory("deep-tanh"), n_paths=256, n_times=6, dt=0.2, rng=1, measure=nnqm.Measure(lags=(0, 1, 2))
    )


def saved_runs() -> list[bytes]:
    old = sorted((Path(__file__).parent.parent / "tests" / "data").glob("*.nc"))
    return [written(lambda path: nnqm.save(run(), path)), *(path.read_bytes() for path in old)]


def written(write: Callable[[Path], object], suffix: str = "") -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"seed{suffix}"
        write(path)
        return path.read_bytes()


def paths() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(40, 20, 2))


def npy_files() -> list[bytes]:
    x = paths()
    forms = (
        x,
        x[..., 0],
        x[:, :, 0].ravel(),
        np.asfortranarray(x),
        x.astype(">f4"),
        x.astype(np.float16),
        (10 * x).astype(">i2"),
    )
    return [written(lambda p, form=form: save_array(p, form)) for form in forms]


def save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)


def npz_files() -> list[bytes]:
    found = []
    for save in (np.savez, np.savez_compressed):
        for arrays in ({"q": paths()}, {"q": paths()[..., 0].astype(">f8")}):
            found.append(written(lambda p, save=save, arrays=arrays: write_npz(p, save, arrays)))
    return found


def write_npz(path: Path, save: Callable[..., None], arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        save(file, **arrays)


def netcdf_files() -> list[bytes]:
    import xarray

    x = xarray.DataArray(paths(), dims=("path", "time", "channel"), coords={"time": 0.1 * np.arange(20)}, name="q")
    named = x.assign_coords(channel=["a", "b"])
    packed = {"q": {"zlib": True, "chunksizes": (2, 20, 2)}}
    return [
        written(lambda p: x.to_netcdf(p, engine="h5netcdf")),
        written(lambda p: named.to_netcdf(p, engine="h5netcdf", encoding=packed)),
        written(lambda p: x.to_netcdf(p, engine="scipy")),
        written(lambda p: named.to_netcdf(p, engine="scipy", unlimited_dims=["path"])),
    ]


def texts() -> list[bytes]:
    x = paths()[:, :, 0]
    times = np.column_stack([0.1 * np.arange(400), x.ravel()[:400]])
    found = []
    for table, settings in (
        (x, {}),
        (x.ravel(), {}),
        (times, {"header": "t x"}),
        (times, {"delimiter": ",", "header": "t,x", "comments": ""}),
        (x, {"delimiter": ";", "fmt": "%.3f"}),
    ):
        found.append(written(lambda p, table=table, settings=settings: np.savetxt(p, table, **settings)))
    return found


def layers() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {
        "0.weight": rng.normal(size=(5, 1)),
        "0.bias": rng.normal(size=5),
        "2.weight": rng.normal(size=(1, 5)),
        "2.bias": rng.normal(size=1),
    }


def safetensors_files() -> list[bytes]:
    from safetensors.numpy import save

    return [save(layers()), save({name: array.astype(np.float32) for name, array in layers().items()})]


def checkpoint_files() -> list[bytes]:
    return [written(lambda p, save=save: write_npz(p, save, layers())) for save in (np.savez, np.savez_compressed)]


def weights_files() -> list[bytes]:
    names = ("weights_0", "biases_0", "weights_1", "biases_1")
    arrays = dict(zip(names, layers().values(), strict=True))
    return [written(lambda p, save=save: write_npz(p, save, arrays)) for save in (np.savez, np.savez_compressed)]


THEORIES = (
    """
hbar = 1.0
mass = 2.0
[[source]]
kind = "ornstein-uhlenbeck"
omega = [1.0, 2.0]
sigma = 1.0
[network]
weights = [[[1.5, 0.1], [-0.5, 0.2]], [[1.0, 2.0]]]
biases = [[0.0, 0.3], [0.0]]
activation = "tanh"
[run]
paths = 640
times = 8
dt = 0.1
seed = 3
precision = "float64"
""",
    """
[[source]]
kind = "ornstein-uhlenbeck"
omega = 1.0
beta = 3.0
[random_network]
widths = [1, 8, 8, 1]
activation = ["tanh", "relu", "identity"]
weights = ["gaussian", { name = "student-t", nu = 5.0 }, "uniform"]
weight_std = [1.0, 1.2, 0.9]
bias_std = 0.1
group = 8
[random_network.training]
points = [-1.0, 0.0, 1.0]
targets = [0.5, 0.0, -0.5]
rate = 0.1
steps = 10
layers = "all"
""",
    """
[[source]]
kind = "ground-state"
potential = [0.0, 0.0, -1.0, 0.0, 0.5]
[network]
widths = [1, 6, 1]
density = "normal"
seed = 4
weight_std = 1.5
""",
    """
[[source]]
kind = "times"
reflected = true
[random_network]
widths = [1, 6, 6, 1]
shared = [true, false, false]
[run]
times = 9
""",
    """
[[source]]
kind = "karhunen-loeve"
kernel = "matern"
nu = 1.5
length = 2.0
interval = [0.0, 4.0]
modes = 12
density = "laplace"
""",
    """
[[source]]
kind = "reflection-positive-net"
dimension = 3
mass = 1.0
width = 8
cutoff = 5.0
points = [[0.0, 0.0], [0.5, 0.0]]
group = 8
""",
    """
[[source]]
kind = "periodic-box"
mass = 1.0
sites = [4, 4]
spacing = 0.5
dispersion = "lattice"
""",
    """
[[source]]
kind = "cos-net"
dimension = 2
mass = 1.0
width = 6
points = [0.0, 0.5]
alpha = 1.0
regulator = { kind = "gaussian", cutoff = 10.0 }
""",
    """
[[source]]
kind = "ground-state-network"
weights = [[[1.0], [0.5]], [[0.3, -0.2]]]
biases = [[0.1, 0.2], [0.0]]
confinement = 1.0
even = true
""",
)  # fmt: skip

LANGUAGE = (
    *(
        "1e400",
        "-1",
        "0",
        "1e-300",
        "nan",
        "-inf",
        "9" * 400,
        "4611686018427387904",
        "100000",
        "1e9",
        "0x7fffffffffffffff",
    ),
    *("true", '""', '"\\u001b[2J"', '"\\u202e"', "[]", "{}", "[[]]", "[" * 3000, "{a=" * 500, "a." * 20000 + "b=1"),
    *("[1, 30000, 30000, 1]", "[" + "1," * 100_000 + "1]", "[" + "1.0," * 100_000 + "1.0]", '"cauchy"', '"relu"'),
    *(
        "[[source]]",
        "[network]",
        "[random_network]",
        "[run]",
        "omega",
        "widths",
        "group",
        "modes",
        "kind",
        "beta",
        "potential",
    ),
    *(
        "1979-05-27",
        "07:32:00",
        "'''",
        '"""',
        "#",
        "\x00",
        "\x7f",
        "é",
        "\ufeff",
        "=",
        "\n",
        ".",
        ",",
        "1_0",
        "+1",
        "01",
    ),
)
VALUES = (
    *("0", "1", "2", "3", "-1", "7", "64", "1000", "100000", "1000000000", "4611686018427387904", "9" * 30, "0x10"),
    *(
        "0.0",
        "-0.5",
        "1e-3",
        "1e-12",
        "1e-60",
        "1e6",
        "1e12",
        "1e60",
        "1e300",
        "5e-324",
        "inf",
        "nan",
        "0.1",
        "2.5",
        "30.0",
    ),
    *(
        "true",
        "false",
        '""',
        '"relu"',
        '"sin"',
        '"cauchy"',
        '"rademacher"',
        '"standard"',
        '"last"',
        '"float64"',
        '"none"',
    ),
    *(
        "[]",
        "[0.0]",
        "[1.0, 2.0]",
        "[1, 1]",
        "[1, 3, 1]",
        "[[1.0]]",
        "[[[1.0]]]",
        "[[1.0, 2.0], [3.0]]",
        "{}",
        "{ nu = 3.0 }",
    ),
    *(
        "[1, 30000, 30000, 1]",
        "[1, 1048576, 1]",
        "[1, 3000, 3000, 1]",
        "[1000000]",
        "[100, 100, 100]",
        "1979-05-27",
        "[true]",
    ),
    *(
        "[" + "1, " * 100_000 + "1]",
        "[" + "0.5, " * 100_000 + "0.5]",
        "[" + "[[0.5]], " * 3000 + "[[1.0]]]",
        '"\\u001b[2J"',
    ),
    *('"gaussian"', '"wiener"', '"squared-exponential"', '"brownian-bridge"', '"times"', '"ground-state"', '"cos-net"'),
)
_NUMERIC = 28
SHAPES = (
    *(
        "(1000000000000000,)",
        "(99999999999,99999999999)",
        "(-1,)",
        "(True,)",
        "()",
        "(0,)",
        "(1e3,)",
        "(1,)*9",
        "9" * 5000,
    ),
    *(
        "'|O'",
        "'>f8'",
        "'<f2'",
        "'<c16'",
        "'|V0'",
        "'|S0'",
        "'<U3'",
        "('<f8',(1000000,))",
        "[('a','<f8')]",
        "'<M8[s]'",
        "'<f16'",
    ),
    *(
        "__import__('os').system('touch exploded')",
        "(",
        ")",
        "'",
        "{",
        "'''",
        "\\",
        "\x00",
        "\x1b[2J",
        "\n",
        "True",
        "None",
    ),
)
NUMBERS = (
    "nan",
    "inf",
    "1e400",
    "0x10",
    "1_0",
    "1d3",
    "\x1b[2J",
    "\x00",
    ",",
    ";",
    "\t",
    "#",
    '"',
    "é",
    "9" * 10_000,
    "1j",
    "",
)
TENSORS = (
    *('"F16"', '"BF16"', '"F8_E4M3"', '"I64"', '"BOOL"', "[99999999999,99999999999]", "[0,18446744073709551615]", "-1"),
    *("{" * 200, "[" * 200, "1e400", '"\\u001b[2J"', '"0.weight":', '"0.bias":', "null", "[0]", "[]"),
)


# ---- what reads them


def read_theory(path: Path) -> object:
    file = nnqm.load_theory_file(path)
    return file.theory.channels


def read_run(path: Path) -> object:
    return nnqm.load(path)


def read_paths(path: Path) -> object:
    found = read_path_file(path)
    return found if isinstance(found, Correlators) else nnqm.accumulate(found.paths, found.dt or 0.1)


def read_checkpoint(path: Path) -> object:
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0))
    return theories_of_checkpoints(theory, [path], "tanh")


def read_weights(path: Path) -> object:
    theory = path.with_suffix(".toml")
    theory.write_text(
        f'[[source]]\nkind = "ornstein-uhlenbeck"\nomega = 1.0\n[network]\nweights_file = "{path.name}"\n'
    )
    return nnqm.load_theory_file(theory)


ANALYSE = ("analyse", "FILE", "--dt", "0.1", "--no-positivity")
KINDS = {
    "theory files": Kind(
        ".toml", lambda: [t.encode() for t in THEORIES], read_theory, ("check", "FILE", "--paths", "1000"), LANGUAGE
    ),
    "saved runs": Kind(".nc", saved_runs, read_run, ("analyse", "FILE", "--no-positivity")),
    "NetCDF paths": Kind(".nc", netcdf_files, read_paths, ANALYSE),
    "npy paths": Kind(".npy", npy_files, read_paths, ANALYSE, SHAPES),
    "npz paths": Kind(".npz", npz_files, read_paths, ANALYSE, SHAPES),
    "text paths": Kind(".txt", texts, read_paths, ANALYSE, NUMBERS),
    "safetensors": Kind(".safetensors", safetensors_files, read_checkpoint, (), TENSORS),
    "npz checkpoints": Kind(".npz", checkpoint_files, read_checkpoint, (), SHAPES),
    "npz weights": Kind(".npz", weights_files, read_weights, (), SHAPES),
}


# ---- damage


def damaged(kind: Kind, seeds: list[bytes], number: int) -> bytes:
    """The content of input ``number``, a pure function of it."""
    rng = np.random.default_rng([number, len(kind.suffix), 16])
    content = bytearray(seeds[rng.integers(len(seeds))])
    ways = [flip, overwrite, cut, splice, header]
    ways += [replace_word] * 3 if kind.words else []
    ways += [replace_value] * 12 if kind.suffix == ".toml" else []
    if kind.suffix == ".npz":
        ways += [repack, repack]
    for _ in range(1 if number % 2 else int(rng.integers(1, 6))):
        content = ways[rng.integers(len(ways))](content, rng, kind, seeds) or bytearray(b"\0")
    return bytes(content)


Damage = Callable[[bytearray, np.random.Generator, Kind, list[bytes]], bytearray]


def flip(content: bytearray, rng: np.random.Generator, *_: Any) -> bytearray:
    for bit in rng.integers(8 * len(content), size=rng.integers(1, 5)):
        content[bit // 8] ^= 1 << (bit % 8)
    return content


def overwrite(content: bytearray, rng: np.random.Generator, *_: Any) -> bytearray:
    values = (0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256)))
    for at in rng.integers(len(content), size=rng.integers(1, 9)):
        content[at] = values[rng.integers(len(values))]
    return content


def cut(content: bytearray, rng: np.random.Generator, *_: Any) -> bytearray:
    first, last = sorted(rng.integers(len(content) + 1, size=2).tolist())
    return content[:last] if rng.integers(2) else content[:first] + content[last:]


def splice(content: bytearray, rng: np.random.Generator, _: Kind, seeds: list[bytes]) -> bytearray:
    other = seeds[rng.integers(len(seeds))]
    first, last = sorted(rng.integers(len(other) + 1, size=2).tolist())
    at = int(rng.integers(len(content) + 1))
    part = other[first : min(last, first + 4096)]
    return content[:at] + part + content[at + (len(part) if rng.integers(2) else 0) :]


def header(content: bytearray, rng: np.random.Generator, *_: Any) -> bytearray:
    """Large and small whole numbers among the first and the last bytes."""
    size = int(rng.choice([1, 2, 4, 8]))
    at = int(rng.integers(min(len(content), 512)))
    at = len(content) - 1 - at if rng.integers(4) == 0 else at
    value = [
        0,
        1,
        2 ** (8 * size) - 1,
        2 ** (8 * size - 1),
        2 ** (8 * size - 1) - 1,
        int(rng.integers(2**31)) % 256**size,
    ]
    content[at : at + size] = value[rng.integers(6)].to_bytes(size, "little" if rng.integers(2) else "big")
    return content


def replace_word(content: bytearray, rng: np.random.Generator, kind: Kind, _: list[bytes]) -> bytearray:
    """A word of the language in place of a number or a word, anywhere, or as the name of a member."""
    word = kind.words[rng.integers(len(kind.words))].encode()
    places = list(
        re.finditer(rb"[A-Za-z_]+|-?[0-9.]+(?:e[-+]?[0-9]+)?|\"[^\"\n]*\"|\([^()]*\)|\[[^\[\]]*\]", content[:8192])
    )
    if not places or rng.integers(4) == 0:
        at = int(rng.integers(len(content) + 1))
        return content[:at] + word + content[at:]
    place = places[rng.integers(len(places))]
    return content[: place.start()] + word + content[place.end() :]


def replace_value(content: bytearray, rng: np.random.Generator, *_: Any) -> bytearray:
    """Another valid value in place of the whole value of a key, or of one number or word in it."""
    # Numbers become other numbers more often than not.
    value = VALUES[rng.integers(_NUMERIC if rng.integers(4) else len(VALUES))]
    pattern = rb"(?<== )[^\n]+" if rng.integers(2) else rb"(?<=[ \[])(?:-?[0-9][0-9.]*|\"[^\"\n]*\"|true|false)"
    places = list(re.finditer(pattern, content))
    if not places:
        return content
    place = places[rng.integers(len(places))]
    return content[: place.start()] + value.encode() + content[place.end() :]


def repack(content: bytearray, rng: np.random.Generator, kind: Kind, seeds: list[bytes]) -> bytearray:
    """A valid archive whose members are damaged, renamed, doubled, or compressed in another way."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(name, bytearray(archive.read(name))) for name in archive.namelist()]
    except Exception:
        return content
    stream = io.BytesIO()
    method = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)[rng.integers(4)]
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, data in members:
            way = rng.integers(8)
            if way < 4:
                data = (flip, overwrite, cut, replace_word)[way](data or bytearray(b"\0"), rng, kind, seeds)
            elif way == 4:
                name = ("\x1b[2J.npy", "a\nb.npy", "../x.npy", ".npy", "weights_0.npy", "é.npy")[rng.integers(6)]
            elif way == 5:
                archive.writestr(name, bytes(data))
            elif way == 6:
                head = io.BytesIO()
                shape = (int(rng.integers(2**27)),) * int(rng.integers(1, 3))
                np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": shape})
                data = bytearray(head.getvalue() + bytes(int(rng.choice([0, 10**6, 5 * 10**7]))))
            archive.writestr(name, bytes(data))
    return bytearray(stream.getvalue())


# ---- one input


def outcome(kind: Kind, path: Path, truth: Correlators | None, original: bool, *, command: bool) -> tuple[str, str]:
    """The class of an input, and its message."""
    if command:
        return by_command(kind, path)
    stream = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(stream):
            warnings.simplefilter("error")
            found = kind.read(path)
    except (InputError, InputTypeError) as error:
        return judged(str(error))
    except BaseException as error:
        return "traceback", f"{type(error).__name__}: {str(error)[:200]}"
    if stream.getvalue():
        return judged(stream.getvalue().strip())
    if original and truth is not None and found != truth:
        return "false result", ""
    return "read", ""


def judged(message: str) -> tuple[str, str]:
    if "\n" in message:
        return "several lines", message[:300]
    return ("control characters", ascii(message[:300])) if COMMAND.search(message) else ("refused", message)


def by_command(kind: Kind, path: Path) -> tuple[str, str]:
    out, error = io.StringIO(), io.StringIO()
    code: object = None
    with warnings.catch_warnings(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        warnings.simplefilter("error")
        try:
            command_line([word.replace("FILE", str(path)) for word in kind.command])
        except SystemExit as end:
            code = end.code
        except BaseException as fault:
            return "traceback", f"command line: {type(fault).__name__}: {str(fault)[:200]}"
    if COMMAND.search(out.getvalue() + error.getvalue()):
        return "control characters", ascii(out.getvalue() + error.getvalue())[:300]
    if code == 0:
        return "read", ""
    return judged(error.getvalue().strip()) if code == 2 else ("traceback", f"exit code {code}")


def status(name: str) -> int:
    """An entry of /proc/self/status in bytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def work(name: str, connection: Connection, folder: str) -> None:
    kind = KINDS[name]
    seeds = kind.seeds()
    os.chdir(folder)
    path = Path(f"input{kind.suffix}")
    truth = None
    # All modules and buffers that a valid file needs.
    for seed in seeds:
        path.write_bytes(seed)
        truth = truth or (kind.read(path) if name == "saved runs" else None)
        verdict, message = outcome(kind, path, None, False, command=False)
        if verdict != "read":
            raise RuntimeError(f"a valid input of {name} is not read: {message}")
    if kind.command:
        by_command(kind, path)
    limit = status("VmSize") + 4 * BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection.send(None)
    while (number := connection.recv()) is not None:
        content = damaged(kind, seeds, number)
        path.write_bytes(content)
        # The largest memory is counted from here.
        Path("/proc/self/clear_refs").write_text("5")
        before = status("VmRSS")
        start = time.process_time()
        original = content[:2048] == seeds[0][:2048]
        found = outcome(kind, path, truth, original, command=bool(kind.command) and number % 10 == 0)
        if os.path.exists("exploded"):
            found = "false result", "code of the input was executed"
        if status("VmHWM") - before > BYTES:
            found = "too large", f"{(status('VmHWM') - before) / 2**30:.2f} GiB; {found}"
        connection.send((number, *found, time.process_time() - start))


# ---- all inputs


class Worker:
    """A process that reads inputs of one kind, and the input that it reads."""

    def __init__(self, name: str, folder: str) -> None:
        self.name = name
        self.connection, theirs = multiprocessing.Pipe()
        # A fork would copy the threads of OpenMP badly.
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=work, args=(name, theirs, tempfile.mkdtemp(dir=folder)), daemon=True)
        self.process.start()
        theirs.close()
        self.connection.recv()
        self.number, self.since, self.before = -1, time.monotonic(), 0.0

    def give(self, number: int) -> None:
        self.number, self.since, self.before = number, time.monotonic(), 0.0
        self.before = self.seconds()
        self.connection.send(number)

    def seconds(self) -> float:
        """Time of the processors for this input: other programs on a busy machine do not count."""
        try:
            words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK") - self.before

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def judge(name: str, numbers: list[int], folder: str, n_workers: int) -> tuple[Counter[str], list[str], float]:
    """Counts of the classes, a line for each fault, and the longest time of an input."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    longest = 0.0
    rest = iter(numbers)
    workers: list[Worker] = []

    def start() -> None:
        number = next(rest, None)
        if number is not None:
            workers.append(Worker(name, folder))
            workers[-1].give(number)

    for _ in range(min(n_workers, len(numbers))):
        start()
    while workers:
        wait([w.connection for w in workers], 0.5)
        for worker in list(workers):
            found = None
            try:
                if worker.connection.poll():
                    found = worker.connection.recv()
            except (EOFError, OSError):
                found = worker.number, "crash", f"exit code {worker.process.exitcode}", 0.0
            if found is None and (worker.seconds() > SECONDS or time.monotonic() - worker.since > 6 * SECONDS):
                found = worker.number, "hang", "", SECONDS
            if found is None:
                continue
            number, verdict, message, seconds = found
            if verdict in GOOD and seconds > SECONDS:
                verdict = "hang"
            counts[verdict] += 1
            longest = max(longest, seconds)
            if verdict not in GOOD:
                faults.append(f"{name} {number}: {verdict}: {message}")
                print(faults[-1], flush=True)
            following = None if verdict in ("crash", "hang") else next(rest, None)
            if following is not None:
                worker.give(following)
            else:
                workers.remove(worker)
                worker.end()
                if verdict in ("crash", "hang"):
                    start()
    return counts, faults, longest


class _Toy(NamedTuple):
    """A reader with a fault, and the class that its inputs must have."""

    read: Callable[[Path], object]
    verdict: str


def _raising(error: Exception) -> Callable[[Path], object]:
    def read(_: Path) -> object:
        raise error

    return read


def _executing(_: Path) -> object:
    warnings.warn("two lines\nof a warning", stacklevel=1)
    return None


_TOYS = (
    _Toy(_raising(ValueError("a parser's own error")), "traceback"),
    _Toy(_raising(RecursionError()), "traceback"),
    _Toy(_executing, "traceback"),
    _Toy(lambda _: print("a\nb", file=sys.stderr), "several lines"),
    _Toy(lambda _: print("\x1b[2J", file=sys.stderr), "control characters"),
    _Toy(_raising(InputError("refused")), "refused"),
    _Toy(lambda _: run()._metadata(), "false result"),
)


def toy(n_inputs: int) -> int:
    """A few inputs in this process; 1 if one has a fault, or if a reader with a fault has none."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in KINDS.items():
            path = Path(folder) / f"input{kind.suffix}"
            seeds = kind.seeds()
            counts: Counter[str] = Counter()
            for number in range(-1, n_inputs):
                path.write_bytes(seeds[0] if number < 0 else damaged(kind, seeds, number))
                verdict, message = outcome(kind, path, None, False, command=bool(kind.command) and number == 0)
                counts[verdict] += 1
                if verdict not in GOOD or (number < 0 and verdict != "read"):
                    print(f"{name} {number}: {verdict}: {message}")
                    wrong += 1
            print(name, dict(counts), flush=True)
        truth = run()
        for faulty in _TOYS:
            kind = Kind("", list, faulty.read)
            found = outcome(kind, Path(folder), truth, True, command=False)[0]
            if found != faulty.verdict:
                print(f"a reader that must be {faulty.verdict} is {found}")
                wrong += 1
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--inputs", type=int, default=2000, help="of each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--kind", choices=list(KINDS), action="append")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.toy:
        return toy(2)
    numbers = list(range(arguments.first, arguments.first + arguments.inputs))
    faults: list[str] = []
    versions = f"nnqm {nnqm.__version__}, Python {sys.version.split()[0]}, NumPy {np.__version__}"
    print(f"{versions}: {len(numbers)} inputs of each kind")
    columns = (*GOOD, *FAULTS)
    print("| kind | " + " | ".join(columns) + " | longest, s |\n|" + " --- |" * (len(columns) + 2))
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.kind or KINDS:
            counts, found, longest = judge(name, numbers, folder, arguments.workers)
            faults += found
            print(f"| {name} | " + " | ".join(str(counts[c]) for c in columns) + f" | {longest:.1f} |", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
