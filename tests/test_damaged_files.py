"""Damaged and hostile files: one line of refusal, little memory, no file read but the given one.

Each case was found by ``bench/fuzz.py`` or belongs to a kind of fault that was.
"""

import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest

import nnqm
from nnqm._arguments import floats
from nnqm.errors import InputError, InputTypeError, located, one_line
from nnqm.files.path_file import read_path_file
from nnqm.learning.checkpoints import theories_of_checkpoints

OSCILLATOR = '[[source]]\nkind = "ornstein-uhlenbeck"\nomega = 1.0\n'
LARGEST = 2**26


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(read, path):
    """The message of a refusal: one line of printable characters, in little memory."""
    tracemalloc.start()
    try:
        with pytest.raises((InputError, InputTypeError)) as caught:
            read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < LARGEST
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 2500
    return message


def answer(read, path):
    """The object that was read, or the message of a refusal."""
    try:
        return read(path)
    except InputError as error:
        message = str(error)
    assert message.isprintable()
    return message


def paths_of(path):
    return read_path_file(path)


# ---- messages


def test_messages_are_one_printable_line():
    assert one_line("a\n  b\tc") == "a b c"
    assert one_line("\x1b[2J\x00é\u202e\ud800") == "\\x1b[2J\\x00é\\u202e\\ud800"
    assert len(one_line("x" * 10**6)) < 2100
    for error in (InputError, InputTypeError):
        assert str(error("name \x1b]0;title\x07")) == "name \\x1b]0;title\\x07"
    with pytest.raises(InputError) as caught, located("file \x9b1m"):
        raise InputError("bad \x7f", "do\nthis")
    assert str(caught.value) == "file \\x9b1m: bad \\x7f; do this"
    assert caught.value.remedy == "do this"


def test_numbers_beyond_double_precision_are_refused():
    with pytest.raises(InputError, match="x must be double-precision numbers"):
        floats("x", 10**400)


# ---- saved runs


@pytest.fixture(scope="module")
def run():
    theory = nnqm.harmonic_oscillator(1.0)
    measure = nnqm.Measure(lags=(0, 1), observables=nnqm.default_observables(theory, order=2, neurons=0))
    return nnqm.simulate(theory, n_paths=256, n_times=4, dt=0.2, rng=1, measure=measure)


@pytest.fixture(scope="module")
def saved(run, tmp_path_factory):
    return nnqm.save(run, tmp_path_factory.mktemp("saved") / "run.nc").read_bytes()


@pytest.mark.slow
def test_a_flipped_bit_is_an_error_or_changes_nothing(run, saved, tmp_path):
    path = tmp_path / "flipped.nc"
    rng = np.random.default_rng(16)
    refusals = 0
    for bit in rng.integers(8 * len(saved), size=30):
        content = bytearray(saved)
        content[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(content)
        found = answer(nnqm.load, path)
        if isinstance(found, str):
            assert found.startswith(f"file {path}")
            refusals += 1
        else:
            assert found == run
    assert refusals > 3


def changed_run(saved, tmp_path, change):
    """A saved run of which HDF5 sees nothing wrong."""
    import h5py

    path = tmp_path / "changed.nc"
    path.write_bytes(saved)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def add_one(name):
    def change(file):
        values = file[name][()]
        values.ravel()[-1] += 1
        file[name][...] = values

    return change


def put(name, value):
    def change(file):
        file.attrs[name] = value

    return change


def rename(file):
    file["channel"][...] = np.array([[b"q"]])


def metadata(change):
    def apply(file):
        table = json.loads(file.attrs["nnqm"])
        change(table)
        file.attrs["nnqm"] = json.dumps(table)

    return apply


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        *map(add_one, ["sum_lags", "sum_moments", "sum_paths", "time", "lag"]),
        rename,
        metadata(lambda table: table.update(hbar=2.0)),
        metadata(lambda table: table["theory"]["source"][0].update(omega=[2.0])),
        put("nnqm_sha256", "0" * 64),
    ],
)
def test_every_change_has_another_digest(change, saved, tmp_path):
    message = refused(nnqm.load, changed_run(saved, tmp_path, change))
    assert "the content does not have the checksum with which it was saved" in message
    assert "use a copy of it" in message


@pytest.mark.slow
def test_a_digest_cannot_be_left_out(saved, tmp_path):
    path = changed_run(saved, tmp_path, lambda file: file.attrs.pop("nnqm_sha256"))
    assert "the attribute nnqm_sha256 is missing" in refused(nnqm.load, path)


def test_variables_have_checksums_of_hdf5_and_no_heap(saved, tmp_path):
    import h5py
    import xarray

    path = tmp_path / "run.nc"
    path.write_bytes(saved)
    with h5py.File(path) as file:
        assert all(file[name].fletcher32 for name in file if name.startswith("sum_"))
        assert not any(file[name].dtype.hasobject for name in file)
    with xarray.open_dataset(path) as data:
        assert data["channel"].values.tolist() == ["x"]
        assert data["sum_lags"].sel(linear_a="x", linear_b="x").dims == ("block", "lag", "part")


def old(change):
    """A change of the metadata of a file of format 1, which has no digest."""

    def apply(file):
        del file.attrs["nnqm_sha256"]
        file.attrs["nnqm_format"] = 1
        metadata(change)(file)

    return apply


def deep(table):
    for _ in range(900):
        table = table.setdefault("a", {})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(n_paths=10**30), "'n_paths' .* is not valid"),
        (lambda t: t.update(hbar=10**400), "'hbar' .* is not valid"),
        (lambda t: t.update(notes=["\x1b[2J"]), "'notes' .* control characters"),
        (lambda t: t["observables"].update(channels=["\x1b[2J"]), "printable"),
        (lambda t: t["observables"].update(channels=3), "'observables' .* is not valid"),
        (lambda t: t["observables"].update(orders=[10**9]), "do not belong together|'observables'|sum_|memory|GiB"),
        (lambda t: t["observables"].update(products=[[0, 10**12]]), "do not belong together|'observables'"),
        (deep, "'a' .* is unknown"),
        (lambda t: t["theory"].update(source=[]), "'theory' .* is not valid"),
        (lambda t: t["theory"].update(source={"kind": 1}), "'theory' .* is not valid"),
        (lambda t: t["theory"].update(network={"weights": [[[1.0]]] * 3 + [3]}), "'theory' .* is not valid"),
        (lambda t: t["theory"].update(network=[[[["x"]]]]), "'theory' .* is not valid"),
        (lambda t: t["theory"].update(random_network={"widths": [1] * 40_000}), "'theory' .* is not valid"),
        (lambda t: t["theory"]["source"][0].update(omega=[1e308] * 3), "'theory' .* is not valid|channels|sum_"),
    ],
)
def test_metadata_of_old_files_are_checked(change, message, saved, tmp_path):
    import re

    text = refused(nnqm.load, changed_run(saved, tmp_path, old(change)))
    assert re.search(message, text), text


@pytest.mark.slow
def test_json_that_is_too_deep(saved, tmp_path):
    def change(file):
        old(lambda _: None)(file)
        file.attrs["nnqm"] = "[" * 30_000

    assert "is not valid JSON" in refused(nnqm.load, changed_run(saved, tmp_path, change))


# ---- HDF5


def hdf5(write):
    import h5py

    with h5py.File("h.nc", "w") as file:
        write(file)
    return read_h5


def read_h5(_):
    from pathlib import Path

    return read_path_file(Path("h.nc"))


def external_link(file):
    import h5py

    file["x"] = h5py.ExternalLink("secret.h5", "x")


def soft_link(file):
    import h5py

    file["x"] = h5py.SoftLink("/elsewhere/x")


def external_storage(file):
    file.create_dataset("x", shape=(100,), dtype="u1", external=[("secret.bin", 0, 100)])


def virtual(file):
    import h5py

    layout = h5py.VirtualLayout(shape=(4, 5), dtype="f8")
    layout[...] = h5py.VirtualSource("secret.h5", "x", shape=(4, 5))
    file.create_virtual_dataset("x", layout)


def huge(file):
    file.create_dataset("x", shape=(2**20, 2**20), dtype="f8", chunks=(64, 64))


def huge_chunk(file):
    file.create_dataset("x", shape=(4,), maxshape=(None,), dtype="f8", chunks=(2**28,))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (external_link, "'x' is a link, which could lead to another file"),
        (soft_link, "'x' is a link"),
        (external_storage, "'x' is stored in another file"),
        (virtual, "'x' is stored in another file"),
        (huge, "'x' would unpack from .* GiB, more than numbers do"),
        (huge_chunk, "'x' would unpack"),
    ],
)
def test_hdf5_reads_no_other_file_and_no_absurd_shape(write, message, tmp_path):
    import re

    import h5py

    with h5py.File("secret.h5", "w") as file:
        file["x"] = np.ones((4, 5))
    (tmp_path / "secret.bin").write_bytes(bytes(100))
    text = refused(hdf5(write), None)
    assert re.search(message, text), text


def test_texts_of_hdf5_are_not_longer_than_the_file():
    import h5py

    hdf5(lambda file: file.create_dataset("x", data=["a", "b"], dtype=h5py.string_dtype()))
    with h5py.File("h.nc") as file:
        place = file["x"].id.get_offset()
    with open("h.nc", "r+b") as file:
        content = bytearray(file.read())
        content[place : place + 4] = (2**31).to_bytes(4, "little")
        file.seek(0)
        file.write(content)
    assert "a text that is larger than the file" in refused(read_h5, None)
    content[place : place + 4] = (1).to_bytes(4, "little")
    heap = content.index(b"GCOL")
    length = content[heap + 24 : heap + 32]
    content[heap + 24 : heap + 32] = (2**20).to_bytes(8, "little")
    with open("h.nc", "wb") as file:
        file.write(content)
    assert "a store of texts in it is damaged" in refused(read_h5, None)
    content[heap + 24 : heap + 32] = length
    content[heap + 8 : heap + 16] = (2**40).to_bytes(8, "little")
    with open("h.nc", "wb") as file:
        file.write(content)
    assert "a store of texts in it is larger than the file" in refused(read_h5, None)


# ---- arrays of NumPy


def npy(header, data=b"", version=b"\x01\x00"):
    size = 2 if version == b"\x01\x00" else 4
    return b"\x93NUMPY" + version + len(header).to_bytes(size, "little") + header + data


def head(shape="(2, 3)", descr="'<f8'", fortran="False"):
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()


HEADERS = {
    "a shape of 1e15": npy(head("(1000000000000000,)"), bytes(48)),
    "a shape beyond 64 bits": npy(head("(99999999999, 99999999999)"), bytes(48)),
    "negative": npy(head("(-2, -3)"), bytes(48)),
    "zero times much": npy(head("(0, 9223372036854775807, 9223372036854775807)"), bytes(48)),
    "true": npy(head("(True, 3)"), bytes(48)),
    "objects": npy(head(descr="'|O'"), bytes(48)),
    "nothing": npy(head("(1000000000000000,)", descr="'|V0'"), bytes(48)),
    "a call": npy(head("__import__('os').system('touch exploded')"), bytes(48)),
    "an open bracket": npy(b"{'descr': '<f8', 'shape': ((((", bytes(48)),  # tokenize.TokenError
    "an odd escape": npy(b"{'descr': '\\d', 'fortran_order': 1if 1else 0}"),
    "deep": npy(b"(" * 9000),
    "a long integer": npy(head("(" + "9" * 5000 + ",)"), bytes(48)),
    "a long header": npy(head() + b" " * 70_000, bytes(48), b"\x02\x00"),
    "a header beyond the end": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + head(),
    "another version": npy(head(), bytes(48), b"\x03\x00"),
    "no descr": npy(b"{}"),
    "null": npy(b"\x00" * 40),
    "control": npy(head("\x1b[2J")),
    "short": npy(head(), bytes(40)),
    "only magic": b"\x93NUMPY",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADERS)
def test_headers_of_arrays_are_checked_before_memory_is_taken(name, tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(HEADERS[name])
    assert "cannot be read as .npy" in refused(paths_of, path)
    # The same array as a member of an archive, of paths and of weights.
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("0.weight.npy", HEADERS[name])
    assert "cannot be read as .npz" in refused(paths_of, path)
    assert "cannot be read as .npz" in refused(checkpoint, path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24.0).reshape(2, 3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6, dtype=">f4").reshape(2, 3),
        np.arange(6, dtype=">i2"),
        np.arange(6, dtype=np.float16),
        np.array([True, False]),
        np.zeros((0, 3)),
    ],
)
def test_valid_arrays_are_read_as_numpy_reads_them(array, tmp_path):
    from nnqm.runs.reading import open_array, read_arrays

    np.save(tmp_path / "x.npy", array)
    np.savez(tmp_path / "plain.npz", a=array, b=np.ones(2))
    np.savez_compressed(tmp_path / "packed.npz", a=array)
    found = open_array(tmp_path / "x.npy")
    read = [read_arrays(tmp_path / f"{name}.npz", lambda _: ["a"])["a"] for name in ("plain", "packed")]
    for values in (found, *read):
        assert values.dtype == array.dtype
        np.testing.assert_array_equal(values, array)


# ---- archives


def checkpoint(path):
    return theories_of_checkpoints(nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0)), [path], "tanh")


def member(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def archive(path, *members, method=zipfile.ZIP_STORED):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # of doubled names
        with zipfile.ZipFile(path, "w", method) as file:
            for name, content in members:
                file.writestr(name, content)
    return path


def bomb(path):
    """An archive of 2 MB with an array of 2 GiB of zeros, which is not made here."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**28,)})
    archive(path, ("x.npy", header.getvalue() + bytes(2**20)), method=zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    size = (len(header.getvalue()) + 2**31).to_bytes(4, "little")
    content[22:26] = content[directory + 24 : directory + 28] = size
    path.write_bytes(content)


def encrypted(path):
    archive(path, ("x.npy", member(np.ones(3))))
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


def unknown_method(path):
    archive(path, ("x.npy", member(np.ones(3))))
    content = bytearray(path.read_bytes())
    content[8] = content[content.index(b"PK\x01\x02") + 10] = 99
    path.write_bytes(content)


def damaged_stream(path):
    archive(path, ("x.npy", member(np.random.default_rng(1).normal(size=100))), method=zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)  # zlib.error
    path.write_bytes(content)


def wrong_sum(path):
    archive(path, ("x.npy", member(np.ones(100))))
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)


ARCHIVES = {
    "bomb": (bomb, "it would unpack from .* to 2 GiB, more than numbers do"),
    "encrypted": (encrypted, "'x' is encrypted"),
    "unknown method": (unknown_method, "compressed by method 99, which NumPy does not use"),
    "bzip2": (lambda p: archive(p, ("x.npy", member(np.ones(3))), method=zipfile.ZIP_BZIP2), "compressed by method 12"),
    "damaged": (damaged_stream, "cannot be read as .npz"),
    "wrong sum": (wrong_sum, "cannot be read as .npz: Bad CRC-32"),
    "twice": (lambda p: archive(p, *[("x.npy", member(np.ones(3)))] * 2), "the array 'x' twice"),
    "control characters": (lambda p: archive(p, ("\x1b[2J\x07.npy", b"")), r"\\x1b\[2J\\x07"),
    "no array": (lambda p: archive(p, ("x.txt", b"hello")), "'x.txt' is not an array"),
    "trailing bytes": (lambda p: archive(p, ("x.npy", member(np.ones(3)) + b"more")), "but it has"),
    "empty": (lambda p: p.write_bytes(b"PK\x05\x06" + bytes(10)), "cannot be read as .npz"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_are_checked_before_they_are_unpacked(name, tmp_path):
    import re

    write, message = ARCHIVES[name]
    path = tmp_path / "x.npz"
    write(path)
    for read in (paths_of, checkpoint):
        text = refused(read, path)
        assert re.search(message, text), text


# ---- text and NetCDF 3


@pytest.mark.parametrize(
    "content",
    [
        b"1 2\n3\n",
        b"\x00" * 30,
        b"1 2\n2 \x1b[2J\n",
        b"\xff\xfe1\n",
        b"1e400x 2\n",
        b'"\n"\n',
        b"1 1\n" + b"9" * 50_000 + b"x 1\n",
    ],
)
def test_texts_that_are_no_tables(content, tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(content)
    assert "cannot be read as text" in refused(paths_of, path)


@pytest.mark.parametrize("at", [4, 8, 12, 16, 20, 28, 40, 60])
def test_headers_of_netcdf_3(at, tmp_path):
    import xarray

    path = tmp_path / "x.nc"
    xarray.DataArray(np.ones((3, 4)), dims=("path", "time"), name="q").to_netcdf(path, engine="scipy")
    content = bytearray(path.read_bytes())
    content[at : at + 4] = b"\x7f\xff\xff\xff"
    path.write_bytes(content)
    found = answer(read_path_file, path)
    assert isinstance(found, str) or found.paths.shape == (3, 4)


# ---- paths whose numbers are too large


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [1.7e308, -1e90])
def test_numbers_whose_powers_overflow(value):
    x = np.random.default_rng(1).normal(size=400)
    x[7] = value
    with pytest.raises(InputError, match=r"paths must be below 1e\+70"):
        nnqm.accumulate(x, 0.1)


@pytest.mark.filterwarnings("error")
def test_signalling_nans_are_named():
    x = np.random.default_rng(1).normal(size=(40, 20)).astype(np.float32)
    x.view(np.uint32)[3, 5] = 0x7F800001
    with pytest.raises(InputError, match="path 3 at time step 5, channel 0 is nan"):
        nnqm.accumulate(x, 0.1)


@pytest.mark.filterwarnings("error")
def test_signalling_nans_of_weights_are_named(tmp_path):
    weights = np.ones((3, 1), np.float32)
    weights.view(np.uint32)[1, 0] = 0x7F800001
    np.savez(tmp_path / "x.npz", **{"0.weight": weights})
    assert "must be finite" in refused(checkpoint, tmp_path / "x.npz")


def test_names_of_channels_are_printable():
    with pytest.raises(InputError, match="names must have no control characters"):
        nnqm.accumulate(np.ones((2, 3, 1)), 0.1, names=["\x1b[2J"])


# ---- theory files

BOX = '[[source]]\nkind = "periodic-box"\nmass = 1.0\n'
THEORIES = {
    "layers": (
        OSCILLATOR + f"[network]\nwidths = {[1] * 3000}\ndensity = 'normal'\nseed = 1\n",
        "at most 1024 layers",
    ),
    "random layers": (OSCILLATOR + f"[random_network]\nwidths = {[1] * 3000}\n", "at most 1024 layers"),
    "layers in the file": (OSCILLATOR + f"[network]\nweights = {[[[1.0]]] * 2000}\n", "at most 1024 layers"),
    "wide": (OSCILLATOR + "[random_network]\nwidths = [1, 30000, 30000, 1]\n", "at most 16777216 weights"),
    "deep arrays": (OSCILLATOR + "[network]\nweights = " + "[" * 3000, "nested too deeply"),
    "deep tables": ("a = " + "{a = " * 3000, "nested too deeply"),
    "dotted keys": ("a." * 20_000 + "b = 1\n", "a key has more than 100 parts"),
    "dotted tables": ("[" + "a . " * 20_000 + "b]\n", "a key has more than 100 parts"),
    "quoted dots": ("'a'." * 20_000 + "b = 1\n", "a key has more than 100 parts"),
    "long integer": (OSCILLATOR + "[run]\nseed = " + "9" * 5000, "is not valid TOML"),
    "control characters": (OSCILLATOR + '[run]\nprecision = "\\u001b[2J"\n', r"\\x1b\[2J"),
    "long key": ("k" * 10**6 + " = 1\n", "is unknown"),
    "dimensions": ('[[source]]\nkind = "cos-net"\ndimension = 300000000\nmass = 1.0\nwidth = 2\n', "at most 100"),
    "axes": (BOX + f"sites = {[1] * 100}\n", "fewer than 50 axes"),
    "degree": ('[[source]]\nkind = "ground-state"\npotential = ' + str([1.0] * 1001), "beyond double precision"),
    "rough": (
        '[[source]]\nkind = "karhunen-loeve"\nkernel = "matern"\nnu = 0.1\ninterval = [0.0, 1.0]',
        "at least 0.25",
    ),
    "strong": (
        '[[source]]\nkind = "ground-state-network"\nweights = [[[1.0]], [[0.3]]]\nconfinement = 1e60\n',
        "confinement must be from",
    ),
    "a high floor": (
        '[[source]]\nkind = "ground-state"\npotential = [1e30, 0.0, -1.0, 0.0, 0.5]\n',
        "subtract a constant from it",
    ),
    "weak": (
        '[[source]]\nkind = "ground-state-network"\nweights = [[[1.0]], [[0.3]]]\nconfinement = 1e-40\n',
        "confinement must be 0 or at least",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", THEORIES)
def test_theory_files_are_refused_at_once(name, tmp_path):
    import re

    text, message = THEORIES[name]
    path = tmp_path / "t.toml"
    path.write_text(text)
    found = refused(nnqm.load_theory_file, path)
    assert re.search(message, found), found


def test_large_random_networks_are_refused():
    with pytest.raises(InputError, match="at most 32768 layers"):
        nnqm.RandomNetwork([1] * 40_000)
    with pytest.raises(InputError, match=r"2\^32 weights"):
        nnqm.RandomNetwork([1, 2**20, 2**20, 1])


def test_dots_in_texts_and_numbers_are_no_keys(tmp_path):
    path = tmp_path / "t.toml"
    path.write_text(
        "# see "
        + "www.example." * 30
        + "\n"
        + OSCILLATOR
        + f"[network]\nweights = [{[[1.5]] * 300}, {[[0.5] * 300]}]\n"
    )
    assert nnqm.load_theory_file(path).theory.network.widths == (1, 300, 1)
