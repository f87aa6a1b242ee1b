"""Lines of text files, plain or gzipped, in bounded memory."""

import codecs
import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from metalff.errors import MetalffError

CHUNK = 1 << 20
LONGEST = 1 << 20
"""Characters of a line; no format that is read line by line has longer ones."""
LARGEST = 1 << 30
"""Bytes of a text that is read as a whole."""


class Cut(str):
    """A last line without an end, where a number may be cut."""


def lines_of(chunks: Iterable[bytes], name) -> Iterator[str]:
    """Lines of a text, without their ends, streamed; a last one that has none is a ``Cut``.

    Args:
        chunks: of the file; errors of reading them are the caller's.
        name: of the file, for messages.
    Raises:
        MetalffError: no text, or an absurdly long line.
    """
    rest, decoder = "", codecs.getincrementaldecoder("utf-8-sig")()  # without the mark that some editors put first
    try:
        for chunk in chunks:
            *full, rest = (rest + decoder.decode(chunk)).split("\n")
            if max(len(rest), *map(len, full)) > LONGEST if full else len(rest) > LONGEST:
                raise MetalffError(f"{name}: a line is longer than {LONGEST:,} characters; is this the right file?")
            yield from full
        rest += decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise MetalffError(f"{name}: not a text file") from None
    if rest:
        yield Cut(rest)


def chunks_of(path: Path) -> Iterator[bytes]:
    """Bytes of a file, gunzipped when its name ends in .gz.

    Raises:
        MetalffError: cannot be read, or a damaged gzip stream.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise MetalffError(f"{path}: the gzip stream is damaged or truncated; fetch the file again") from None
    except OSError as error:
        raise MetalffError(f"{path}: cannot be read: {error.strerror}") from None


def text_of(path: Path) -> str:
    """The whole text of a file whose lines may be long.

    Raises:
        MetalffError: as ``chunks_of``, no text, or larger than ``LARGEST``.
    """
    raw = bytearray()
    for chunk in chunks_of(Path(path)):
        raw += chunk
        if len(raw) > LARGEST:
            raise MetalffError(f"{path}: more than {LARGEST / 2**30:g} GiB of text that must be read at once; cut it into several files")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise MetalffError(f"{path}: not a text file") from None


def text_lines(path: Path) -> Iterator[str]:
    """Lines of a text file, as ``lines_of`` and ``chunks_of`` give them."""
    return lines_of(chunks_of(Path(path)), path)
