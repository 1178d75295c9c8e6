"""Lists from an .npz that isn't trusted: what is let in, and above all what isn't."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slugline.errors import DataError
from slugline.reuters.sequences import read_lists

ROWS = [[1, 2, 65_535], [], [300], [7] * 2000]
LABELS = [3, 0, 45, 1]
ARRAY = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
DTYPE = (
    b"cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
)


def object_array(rows: list[Any]) -> np.ndarray:
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


def member(dtype: str, shape: str, body: bytes) -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def npz(pickled: bytes, n: int = 1) -> bytes:
    """Wrap a pickle as the array `x` of an otherwise proper file with n labels."""
    labels = np.zeros(n, dtype="<i8").tobytes()
    return zipped(
        {"x.npy": member("|O", f"({n},)", pickled), "y.npy": member("<i8", f"({n},)", labels)}
    )


def lists(*contents: bytes) -> bytes:
    """Return the instructions for a list of lists, from those for what each of them holds."""
    return b"](" + b"".join(b"](" + content + b"e" for content in contents) + b"e"


def array_of(items: bytes, n: int = 1) -> bytes:
    """Pickle, as NumPy on Python 2 did, an object array of n with the list that `items` makes."""
    size = b"M" + struct.pack("<H", n)
    return ARRAY + b"(K\x01" + size + b"\x85" + DTYPE + b"\x89" + items + b"tb."


def message(content: bytes) -> str:
    with pytest.raises(DataError) as caught:
        read_lists(content)
    return str(caught.value)


# A process of its own, as a peak that was higher before would hide this one. Not ru_maxrss, which
# begins at what the parent had.
CHILD = """
import sys
from pathlib import Path
from slugline.errors import DataError
from slugline.reuters.sequences import read_lists
def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
content = sys.stdin.buffer.read()
before = peak()
try:
    read_lists(content)
except DataError as error:
    print(peak() - before, error)
"""
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux' /proc")


def message_and_memory(content: bytes) -> tuple[str, int]:
    """Return the message as well, and by how many kB the peak of memory grew until then."""
    done = subprocess.run([sys.executable, "-c", CHILD], input=content, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    grown, _, said = done.stdout.decode().strip().partition(" ")
    return said, int(grown)


@pytest.mark.parametrize("protocol", [3, 4])
def test_read_lists_reads_pickles_of_python_3(protocol: int) -> None:
    rows, labels = read_lists(npz(pickle.dumps(object_array(ROWS), protocol=protocol), n=len(ROWS)))
    assert rows == ROWS
    assert labels.tolist() == [0] * len(ROWS)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["stored", "deflated"])
def test_read_lists_reads_what_numpy_saves(save: Any) -> None:
    buffer = io.BytesIO()
    save(buffer, x=object_array(ROWS), y=np.array(LABELS))
    rows, labels = read_lists(buffer.getvalue())
    assert rows == ROWS
    assert (labels.dtype, labels.tolist()) == (np.dtype(np.int64), LABELS)


def test_read_lists_reads_pickles_of_python_2() -> None:
    rows, _ = read_lists(npz(array_of(lists(b"K\x05M\x00\x01", b"", b"K\x07"), 3), 3))
    assert rows == [[5, 256], [], [7]]


class Runs:
    """Calls a function with arguments when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("where", ["instead of the array", "in a list", "as a number"])
@pytest.mark.parametrize(
    "function",
    [os.system, eval, exec, np.load, np.fromfile],
    ids=lambda function: function.__name__,
)
def test_read_lists_refuses_a_planted_call_without_making_it(
    function: Any, where: str, protocol: int, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    argument = {
        os.system: f"touch {trace}",
        eval: f"open({str(trace)!r}, 'w')",
        exec: f"open({str(trace)!r}, 'w')",
    }.get(function, str(trace))
    bomb = Runs(function, argument)
    planted = {
        "instead of the array": bomb,
        "in a list": object_array([[1], bomb]),
        "as a number": object_array([[1], [bomb]]),
    }[where]
    assert message(npz(pickle.dumps(planted, protocol=protocol), n=2))
    assert not trace.exists()


CALLED = [
    (b"\x80\x02cos\nsystem\nU\x04true\x85R.", "'os.system'"),
    (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "'os.system'"),
    (b"\x80\x02cbuiltins\neval\nU\x011\x85R.", "'builtins.eval'"),
    (b"\x80\x02cnumpy\nload\nU\x01x\x85R.", "'numpy.load'"),
    (b"\x80\x02cnumpy.core.multiarray\nfromfile\n.", "'numpy.core.multiarray.fromfile'"),
    (b"\x80\x02cnumpy\nndarray.tofile\n.", "'numpy.ndarray.tofile'"),
    (b"\x80\x02cos\x1b[2J\nsystem\n.", "'os\\x1b[2J.system'"),
]


@pytest.mark.parametrize(("pickled", "name"), CALLED, ids=[name for _, name in CALLED])
def test_read_lists_refuses_names_outside_numpy(pickled: bytes, name: str) -> None:
    assert message(npz(pickled)) == f"it asks for {name}"


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85\x85R.",
        b"\x80\x02cnumpy\ndtype\nU\x02O8\x85R.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nK\x01K\x02\x86R.",
        b"\x80\x02cnumpy\nndarray\n.",
        b"\x80\x02cnumpy\nndarray\n(tR](K\x01eb.",
        b"\x80\x02](K\x01e.",
        b"\x80\x02N.",
    ],
    ids=[
        "an array of two billion",
        "a dtype",
        "an array of nothing known",
        "a class",
        "a state of the wrong kind",
        "a list",
        "nothing",
    ],
)
def test_read_lists_refuses_misused_names_of_numpy(pickled: bytes) -> None:
    assert message(npz(pickled)) == "its pickle is not an array"


@pytest.mark.parametrize(
    "pickled",
    [
        b"",
        b"K\x01.",
        b"\x80\x02ios\nsystem\n.",
        b"\x80\x02P1\n.",
        b"\x80\x02}.",
        b"\x80\x02G" + bytes(8) + b".",
        b"\x80\x04\x82\x01.",
        b"\x80\x05\x97.",
        b"\x80\x02cnumpy\nndarray\n)\x81.",
    ],
    ids=[
        "empty",
        "protocol 0",
        "INST",
        "PERSID",
        "dictionary",
        "float",
        "EXT1",
        "NEXT_BUFFER",
        "NEWOBJ",
    ],
)
def test_read_lists_refuses_instructions_that_lists_do_not_need(pickled: bytes) -> None:
    assert message(npz(pickled)) == "its pickle does more than list numbers"


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        (b"N", "'NoneType' object is not iterable"),
        (b"](K\x05e", "its pickle is not an array of lists"),
        (b"])a", "its pickle is not an array of lists"),
        (b"](U\x03abce", "its pickle is not an array of lists"),
        (lists(b"N"), "'NoneType' object cannot be interpreted as an integer"),
        (lists(b"U\x011"), "'str' object cannot be interpreted as an integer"),
        (lists(b"](K\x01e"), "'list' object cannot be interpreted as an integer"),
        (lists(b"J\xff\xff\xff\xff"), "unsigned short is less than minimum"),
        (lists(b"J\x00\x00\x01\x00"), "unsigned short is greater than maximum"),
        (lists(b"K\x01", b"K\x01"), "it holds 2 lists and 1 labels"),
    ],
    ids=[
        "nothing",
        "a number",
        "a tuple",
        "a text",
        "nothing in a list",
        "a text in a list",
        "a list in a list",
        "a negative number",
        "65,536",
        "a list too many",
    ],
)
def test_read_lists_refuses_arrays_of_anything_else(items: bytes, reason: str) -> None:
    assert message(npz(array_of(items))) == reason


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02Nr\xff\xff\xff\x3f.",
        b"\x80\x02Nr\x00\x00\x01\x00.",
        b"\x80\x02X\xff\xff\xff\x7fabc.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\x00\x00abc.",
        b"\x80\x02\x8b\xff\xff\xff\x7fabc.",
        array_of(b"](](" + b"K\x01" * 100_000 + b"eq\x00" + b"h\x00" * 100_000 + b"e"),
        array_of(lists(b"K\x01" + b"\x85" * 1_000_000)),
        array_of(lists(b"]" * 1_000_000 + b"a" * 999_999)),
        array_of(b"]q\x00(h\x00e"),
        array_of(b"](]q\x00(h\x00ee"),
    ],
    ids=[
        "a far place in the memo",
        "the nearest place in the memo that is refused",
        "long text",
        "long bytes",
        "long byte array",
        "long number",
        "one long list in many places",
        "deep tuples",
        "deep lists",
        "a list of itself",
        "a list that holds itself",
    ],
)
def test_read_lists_refuses_pickles_that_take_memory_or_the_stack(pickled: bytes) -> None:
    said, grown = message_and_memory(npz(pickled))
    assert said
    assert grown < 150_000


def good_members() -> dict[str, bytes]:
    return {
        "x.npy": member("|O", "(1,)", array_of(lists(b"K\x05"))),
        "y.npy": member("<i8", "(1,)", bytes(8)),
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "File is not a zip file"),
        (b"plain text", "File is not a zip file"),
        (zipped(good_members())[:-40], "File is not a zip file"),
        (zipped({}), "it holds [] instead of x.npy and y.npy"),
        (zipped({"x.npy": b""}), "it holds ['x.npy'] instead of x.npy and y.npy"),
        (
            zipped(good_members() | {"z.npy": b""}),
            "it holds ['x.npy', 'y.npy', 'z.npy'] instead of x.npy and y.npy",
        ),
        (zipped(good_members() | {"x.npy": b""}), "x.npy is not an array of |O"),
        (zipped(good_members(), zipfile.ZIP_BZIP2), "x.npy is compressed in an unknown way"),
        (zipped(good_members(), zipfile.ZIP_LZMA), "x.npy is compressed in an unknown way"),
        (
            zipped(good_members() | {"x.npy": bytes(100_000_000)}),
            "x.npy has 100,000,000 bytes, too many",
        ),
        (
            zipped(good_members() | {"y.npy": member("<f8", "(1,)", bytes(8))}),
            "y.npy is not an array of <i8",
        ),
        (
            zipped(good_members() | {"y.npy": member("|O", "(1,)", array_of(lists(b"K\x05")))}),
            "y.npy is not an array of <i8",
        ),
        (
            zipped(good_members() | {"y.npy": member("<i8", "(9999999999999,)", bytes(8))}),
            "y.npy is not an array of <i8",
        ),
        (
            zipped(good_members() | {"y.npy": member("<i8", "(9999999,)", bytes(8))}),
            "it holds 1 lists and 1 labels",
        ),
        (
            zipped(good_members() | {"y.npy": member("<i8", "(1, 1)", bytes(8))}),
            "y.npy is not an array of <i8",
        ),
        (
            zipped(good_members() | {"y.npy": member("<i8", "(1,)", bytes(7))}),
            "buffer size must be a multiple of element size",
        ),
    ],
    ids=[
        "empty",
        "no zip",
        "cut off",
        "no members",
        "a member short",
        "a member too many",
        "no array",
        "bzip2",
        "lzma",
        "bomb",
        "labels of another kind",
        "pickled labels",
        "labels without end",
        "labels fewer than declared",
        "labels in two dimensions",
        "labels cut off",
    ],
)
def test_read_lists_refuses_another_layout(content: bytes, reason: str) -> None:
    assert message(content) == reason


@pytest.mark.slow
@needs_proc
def test_read_lists_does_not_unpack_beyond_the_claimed_size() -> None:
    content = zipped(good_members() | {"x.npy": bytes(300_000_000)})
    lying = content.replace(struct.pack("<I", 300_000_000), struct.pack("<I", 1000))
    said, grown = message_and_memory(lying)
    assert said == "Bad CRC-32 for file 'x.npy'"
    assert grown < 100_000


def test_read_lists_notices_a_changed_bit() -> None:
    content = bytearray(zipped(good_members(), zipfile.ZIP_STORED))
    content[content.index(b"](](K\x05") + 5] ^= 1
    assert message(bytes(content)) == "Bad CRC-32 for file 'x.npy'"


def test_read_lists_of_random_damage_returns_lists_or_one_error() -> None:
    chance = random.Random(5)
    good = array_of(lists(b"K\x05M\x00\x01", b"K\x07"), 2)
    refused = 0
    for _ in range(3000):
        damaged = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            rows, _ = read_lists(npz(bytes(damaged), 2))
        except DataError:
            refused += 1
        else:
            assert len(rows) == 2
    assert refused > 1000
