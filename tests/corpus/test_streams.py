"""Lines of files, pipes and terminals: the same lines, and whether more are there now."""

from __future__ import annotations

import gzip
import io
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pytest

from slugline.corpus.line_stream import LineStream

DATA = b"one\n\ntwo\r\nth\xffree" + b"x" * 100 + b"\nlast, without an end"


def lines_of(stream: LineStream, limit: int) -> list[bytes]:
    return list(iter(lambda: stream.readline(limit), b""))


@pytest.mark.parametrize("piece", [1, 3, 64, 1 << 16])
@pytest.mark.parametrize("limit", [1, 4, 50, 1000])
@pytest.mark.parametrize("data", [DATA, b"", b"\n", b"\n\n\nx\n"], ids=["long", "", "n", "ns"])
def test_line_stream_gives_the_lines_of_a_binary_file(piece: int, limit: int, data: bytes) -> None:
    file = io.BytesIO(data)
    assert lines_of(LineStream(io.BytesIO(data), chunk_bytes=piece), limit) == list(
        iter(lambda: file.readline(limit), b"")
    )


class OneRead(io.BytesIO):
    """A file from which a second read would wait."""

    def read1(self, size: int | None = -1, /) -> bytes:
        assert self.tell() == 0
        return super().read1(size)


@pytest.mark.parametrize(("data", "limit"), [(b"0123456789", 10), (b"one\ntw", 100)])
def test_line_stream_reads_no_more_than_a_line_needs(data: bytes, limit: int) -> None:
    assert LineStream(OneRead(data)).readline(limit) == data[: data.find(b"\n") + 1] or data


# Waiting ----------------------------------------------------------------------------------------


class Pipe(NamedTuple):
    out: BinaryIO
    into: int


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    out, into = os.pipe()
    with os.fdopen(out, "rb") as file:
        yield Pipe(file, into)


@pytest.mark.skipif(os.name == "nt", reason="Windows tells nothing of pipes")
def test_must_wait_is_true_until_a_pipe_has_a_line(pipe: Pipe) -> None:
    stream = LineStream(pipe.out)
    assert stream.must_wait()

    os.write(pipe.into, b"one\ntwo\nthr")
    assert not stream.must_wait()
    assert stream.readline(100) == b"one\n"
    assert not stream.must_wait()
    assert stream.readline(100) == b"two\n"
    assert stream.must_wait()  # for the rest of the third

    os.write(pipe.into, b"ee")
    os.close(pipe.into)
    assert not stream.must_wait()
    assert stream.readline(100) == b"three"


def test_must_wait_is_false_for_memory_and_files(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one")
    with path.open("rb") as file:
        for stream in (LineStream(file), LineStream(io.BytesIO(b"one"))):
            assert not stream.must_wait()
            assert lines_of(stream, 100) == [b"one"]
            assert not stream.must_wait()


# How far ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_fraction_read_rises_from_0_to_1(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "a"
    generator = random.Random(0)
    data = b"".join(generator.randbytes(200).replace(b"\n", b"") + b"\n" for _ in range(2000))
    path.write_bytes(gzip.compress(data) if packed else data)
    with path.open("rb") as file:
        stream = LineStream(file, packed=packed, chunk_bytes=1000)
        shares = [stream.fraction_read()]
        while stream.readline(1000):
            shares.append(stream.fraction_read())

    known = [share for share in shares if share is not None]
    assert len(known) == len(shares)
    assert known == sorted(known)
    assert known[0] == 0
    assert known[1000] == pytest.approx(0.5, abs=0.2)  # gzip reads ahead
    assert known[-1] == 1
    assert stream.fraction_read() == 1  # closed


def test_must_wait_keeps_half_a_line(pipe: Pipe) -> None:
    stream = LineStream(pipe.out)
    os.write(pipe.into, b"whole\nha")
    assert stream.readline(100) == b"whole\n"
    assert stream.must_wait()
    os.write(pipe.into, b"lf\n")
    assert not stream.must_wait()
    os.close(pipe.into)
    assert lines_of(stream, 100) == [b"half\n"]


def test_must_wait_is_false_at_the_end_of_a_pipe(pipe: Pipe) -> None:
    stream = LineStream(pipe.out)
    os.write(pipe.into, b"last")
    os.close(pipe.into)
    assert not stream.must_wait()
    assert stream.readline(100) == b"last"
