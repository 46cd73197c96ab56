"""Files: where they are written, with which modes and owners; and the fault that loading names."""

import json
import os
import re
import socket
import stat
import threading
import time

import numpy as np
import pytest
import xarray

import nnqm
from interpreter import answer
from nnqm.errors import InputError, InputTypeError
from nnqm.plot import save_overview
from nnqm.runs.writing import check_writable, replacing

RUN = nnqm.simulate(nnqm.harmonic_oscillator(), 512, 8, 0.2, rng=1, measure=nnqm.Measure(observable_lags=()))

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links, pipes and modes of POSIX")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# ---- what is written


@pytest.mark.parametrize("link", [False, True])
def test_a_pipe_without_a_reader_is_refused_and_stays(link):
    os.mkfifo("pipe.nc")
    if link:
        os.symlink("pipe.nc", "link.nc")
    with pytest.raises(InputError, match=r"is a pipe that no program reads; start the reader first"):
        nnqm.save(RUN, "link.nc" if link else "pipe.nc")
    assert stat.S_ISFIFO(os.lstat("pipe.nc").st_mode)
    assert sorted(os.listdir()) == (["link.nc", "pipe.nc"] if link else ["pipe.nc"])


@pytest.mark.slow
def test_a_pipe_with_a_reader_gets_the_file():
    os.mkfifo("pipe.nc")
    received = []

    def read():
        with open("pipe.nc", "rb") as pipe:
            received.append(pipe.read())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(100):
        try:
            nnqm.save(RUN, "pipe.nc")
            break
        except InputError:  # The reader has not opened the pipe yet.
            time.sleep(0.05)
    reader.join()
    with open("copy.nc", "wb") as file:
        file.write(received[0])
    assert nnqm.load("copy.nc") == RUN
    assert stat.S_ISFIFO(os.lstat("pipe.nc").st_mode)


def test_sockets_and_folders_are_refused():
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.nc")
        with pytest.raises(InputError, match="is a socket"):
            nnqm.save(RUN, "s.nc")
    assert stat.S_ISSOCK(os.lstat("s.nc").st_mode)
    os.mkdir("folder.nc")
    os.symlink("folder.nc", "link.nc")
    for name in ("folder.nc", "link.nc", "."):
        with pytest.raises(InputError, match="is a folder"):
            nnqm.save(RUN, name)


@pytest.mark.slow
@pytest.mark.parametrize("exists", [False, True])
def test_a_link_stays_and_its_file_is_replaced(exists):
    os.mkdir("there")
    if exists:
        nnqm.save(RUN, "there/run.nc")
    os.symlink("there/run.nc", "one.nc")
    os.symlink("one.nc", "two.nc")
    assert str(nnqm.save(RUN, "two.nc")) == "two.nc"
    assert os.path.islink("one.nc")
    assert os.path.islink("two.nc")
    assert not os.path.islink("there/run.nc")
    assert nnqm.load("there/run.nc") == RUN
    assert os.listdir("there") == ["run.nc"]


def test_links_that_lead_nowhere_are_one_line():
    os.symlink("loop.nc", "loop.nc")
    os.symlink("missing/run.nc", "away.nc")
    with pytest.raises(InputError, match=r"loop.nc cannot be written: .*links"):
        check_writable("loop.nc")
    with pytest.raises(InputError, match=r"missing does not exist; create it"):
        check_writable("away.nc")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_an_existing_file_keeps_its_mode(mode):
    with open("run.nc", "w"):
        os.chmod("run.nc", mode)
    nnqm.save(RUN, "run.nc")
    assert stat.S_IMODE(os.stat("run.nc").st_mode) == mode


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_an_existing_file_keeps_its_owner():
    with open("run.nc", "w"):
        os.chown("run.nc", 1234, 2345)
    nnqm.save(RUN, "run.nc")
    found = os.stat("run.nc")
    assert (found.st_uid, found.st_gid) == (1234, 2345)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_follows_the_mask_of_the_process(mask):
    before = os.umask(mask)
    try:
        nnqm.save(RUN, "run.nc")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat("run.nc").st_mode) == 0o666 & ~mask


@pytest.mark.parametrize(
    ("path", "message"),
    [("a" * 300, "cannot be written"), ("a\0b", "null"), ("", "is a folder"), ("missing/run.nc", "does not exist")],
)
def test_names_that_no_file_can_have(path, message):
    with pytest.raises(InputError, match=message):
        nnqm.save(RUN, path)
    assert os.listdir() == []


def test_paths_that_are_none():
    with pytest.raises(InputTypeError, match="output must be a path; got int"):
        nnqm.save(RUN, 3)
    with pytest.raises(InputTypeError, match="path must be the name of a file; got int"):
        nnqm.load(3)


@pytest.mark.slow
def test_figures_use_the_same_function():
    report = nnqm.analyse(RUN, positivity=False)
    os.mkfifo("pipe.png")
    with pytest.raises(InputError, match="is a pipe"):
        save_overview(RUN, report, "pipe.png")
    os.symlink("real.svg", "link.svg")
    save_overview(RUN, report, "link.svg")
    assert os.path.islink("link.svg")
    assert os.path.getsize("real.svg") > 1000


FULL = """
import resource, signal
import nnqm
from nnqm.errors import InputError
run = nnqm.simulate(nnqm.harmonic_oscillator(), 4096, 64, 0.2, rng=1)
nnqm.save(run, "old.nc")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    nnqm.save(run, "old.nc")
except InputError as error:
    print(error)
del run
import gc, os
gc.collect()
print(os.listdir())
"""


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_old_file_stays():
    # A limit on the size of files shows what a full disk does: HDF5 ended the process when a write failed.
    out = answer(FULL)
    assert "output old.nc cannot be written: File too large; choose another place" in out
    assert "['old.nc']" in out
    assert nnqm.load("old.nc").n_paths == 4096


def test_an_error_of_the_writer_leaves_nothing_behind(tmp_path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "run.nc"):
        raise ZeroDivisionError
    assert os.listdir() == []


# ---- what is loaded


def changed(change):
    """The message with which a changed file is refused."""
    nnqm.save(RUN, "run.nc")
    data = xarray.load_dataset("run.nc", engine="h5netcdf", decode_times=False)
    # As in a file of format 1, which has no digest.
    del data.attrs["nnqm_sha256"]
    data.attrs["nnqm_format"] = 1
    data = change(data)
    data.to_netcdf("changed.nc", engine="h5netcdf")
    with pytest.raises(InputError) as caught:
        nnqm.load("changed.nc")
    message = str(caught.value)
    assert message.startswith("file changed.nc: ")
    assert "\n" not in message
    return message


def attribute(name, value):
    def change(data):
        if value is None:
            del data.attrs[name]
        else:
            data.attrs[name] = value
        return data

    return change


def entry(name, *value):
    def change(data):
        table = json.loads(data.attrs["nnqm"])
        if value:
            table[name] = value[0]
        else:
            del table[name]
        data.attrs["nnqm"] = json.dumps(table)
        return data

    return change


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (attribute("nnqm", None), "not a saved run: the attribute nnqm is missing"),
        (attribute("nnqm_format", None), "nnqm_format is missing"),
        (attribute("nnqm_format", "new"), "nnqm_format must be a positive integer; got 'new'"),
        (attribute("nnqm_format", 0), "nnqm_format must be a positive integer"),
        (attribute("nnqm_format", 3), r"newer format \(3\) than 2.*upgrade"),
        (attribute("nnqm_format", 2), "nnqm_sha256 is missing"),
        (attribute("nnqm", "{not json"), "is not valid JSON: Expecting property name"),
        (attribute("nnqm", 3), "is not valid JSON"),
        (attribute("nnqm", "[]"), r"must be a table; got \[\]"),
        (entry("n_paths"), "entry 'n_paths' .* is missing"),
        (entry("observables"), "entry 'observables' .* is missing"),
        (entry("n_path", 3), "'n_path' .* is unknown; did you mean 'n_paths'"),
        (entry("n_paths", "many"), "'n_paths' .* not valid; got 'many'"),
        (entry("n_paths", True), "'n_paths' .* not valid"),
        (entry("n_paths", 1), "must count at most 1 paths"),
        (entry("hbar", float("nan")), "'hbar' .* not valid"),
        (entry("mass", 0), "'mass' .* not valid"),
        (entry("precision", "float16"), "'precision' .* not valid"),
        (entry("lags", [0, "1"]), "'lags' .* not valid"),
        (entry("lags", [0, 1]), "sum_lags must have shape"),
        (entry("lags", [0, 1, 2, 3, 99]), "has 8 entries, and a lag is longer"),
        (entry("theory", {}), "'theory' .* not valid: 'source' is missing"),
        (entry("theory", {"source": [{"kind": "unheard"}]}), "'theory' .* not valid: .*'unheard'"),
        (entry("observables", []), "'observables' .* not valid"),
        (lambda d: d.drop_vars("sum_paths"), "sum_paths is missing"),
        (lambda d: d.drop_vars("time"), "time is missing"),
        (lambda d: d.isel(time=slice(None, None, -1)), "time must have increasing finite numbers"),
        (lambda d: d.assign(sum_more=d.sum_paths), "sum_more is unknown"),
        (lambda d: d.assign(more=3.0), "variable more is unknown"),
        (lambda d: d.isel(lag=slice(2)), "sum_lags must have shape"),
        (lambda d: d.assign(sum_lags=d.sum_lags * np.nan), r"sum_lags must be finite; entry \[0, 0, 0, 0, 0\]"),
        (lambda d: d.assign(sum_paths=d.sum_paths * np.nan), "sum_paths must have shape .* integers"),
        (lambda d: d.assign(sum_paths=-d.sum_paths), "must count"),
    ],
)
def test_the_fault_of_a_file_is_named(change, message):
    text = changed(change)
    assert re.search(message, text), text


def test_files_that_cannot_be_read():
    nnqm.save(RUN, "run.nc")
    with open("run.nc", "rb") as file:
        content = file.read()
    for name, data in {"half.nc": content[: len(content) // 2], "empty.nc": b"", "text.nc": b"hello\n"}.items():
        with open(name, "wb") as file:
            file.write(data)
        with pytest.raises(InputError, match=rf"file {name} cannot be read as NetCDF: .*give a file written by"):
            nnqm.load(name)
    os.mkfifo("pipe.nc")
    for name in (".", "pipe.nc"):
        with pytest.raises(InputError, match="is not a regular file"):
            nnqm.load(name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # h5netcdf closes what it could not open
def test_random_damage_is_never_a_bare_error():
    nnqm.save(RUN, "run.nc")
    with open("run.nc", "rb") as file:
        content = file.read()
    rng = np.random.default_rng(1)
    messages = []
    for _ in range(100):
        data = bytearray(content)
        for k in rng.integers(0, len(data), 20):
            data[k] = rng.integers(256)
        with open("bad.nc", "wb") as file:
            file.write(data)
        try:
            nnqm.load("bad.nc")
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert all("bad.nc" in message for message in messages)
