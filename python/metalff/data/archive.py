"""Where files of a published set lie: a folder, or a zip archive, read without unpacking it and also when it is cut short."""

import gzip
import hashlib
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from metalff.data.frame import Frame
from metalff.data.labels import Keys
from metalff.data.layout import EXAMPLE, Name, each_of_files, parse
from metalff.data.text import lines_of
from metalff.errors import MetalffError

CHUNK = 1 << 20
LOCAL = struct.Struct("<4sHHHHHIIIHH")  # header of a member: PKWARE APPNOTE 4.3.7
STORED, DEFLATED = 0, 8


@dataclass(frozen=True)
class Member:
    """A file in a layout that is known.

    Attributes:
        path: of the file, or of the archive.
        inside: name in the archive; '' for a file of its own.
        file: its name, without folders.
        name: what that says.
        size: bytes, unpacked; None where a damaged archive does not say.
        stamp: changes when the file does: CRC-32 in an archive, else size and time.
        start: of the header in an archive that is cut short; None in a whole one.
    """

    path: Path
    inside: str
    file: str
    name: Name
    size: int | None
    stamp: str
    start: int | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.inside}" if self.inside else str(self.path)

    def lines(self) -> Iterator[str]:
        """Lines of the text, without their ends, streamed.

        Raises:
            MetalffError: cannot be read, damaged or cut short, or no text.
        """
        try:
            yield from lines_of(self._chunks(), self)
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            raise MetalffError(f"{self}: the packed data are damaged or cut short ({str(error).rstrip('.')}); fetch the archive again") from None
        except KeyError:
            raise MetalffError(f"{self} is not there any more: the archive has changed; leave it alone and start again") from None
        except (NotImplementedError, RuntimeError) as error:  # packed as Windows packs files of gigabytes; encrypted meanwhile
            raise MetalffError(
                f"{self}: cannot be unpacked ({str(error).rstrip('.')}); unpack the archive by its own program and give the folder"
            ) from None
        except OSError as error:
            raise MetalffError(f"{self}: cannot be read: {error.strerror or error}") from None

    def _chunks(self) -> Iterator[bytes]:
        if self.start is not None:
            yield from unpacked(self.path, self.start)
            return
        if self.inside:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.inside) as stream:
                yield from self._of(stream)
        else:
            with self.path.open("rb") as stream:
                yield from self._of(stream)

    def _of(self, stream) -> Iterator[bytes]:
        stream = gzip.open(stream) if self.file.endswith(".gz") else stream
        while chunk := stream.read(CHUNK):
            yield chunk


def members(path, salvage: bool = False) -> list[Member]:
    """Files of a folder or archive, by element and temperature; nothing is read but names.

    Args:
        salvage: of an archive that is cut short, what there is; else it is refused.
    Raises:
        MetalffError: no such folder or archive, a damaged one, no file in a layout, or two of the same name.
    """
    path = Path(path)
    if path.is_dir():
        found = [(item, "", item.name, item.stat()) for item in path.rglob("*") if item.is_file()]
        known = [Member(p, "", file, parse(file), s.st_size, f"{s.st_size}-{s.st_mtime_ns}") for p, _, file, s in found if parse(file)]
    elif path.is_file():
        known = _of_archive(path, salvage)
    else:
        raise MetalffError(f"{path} does not exist; give a folder or a zip archive")
    if not known:
        raise MetalffError(f"{path} holds no file named {EXAMPLE}")
    names = [member.file for member in known]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise MetalffError(f"{path} holds two files named {twice[0]}; give the folder of one set")
    return sorted(known, key=lambda member: (member.name.order, member.file))


def _of_archive(path: Path, salvage: bool) -> list[Member]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir() and _wanted(entry.filename)]
            if locked := [entry.filename for entry in entries if entry.flag_bits & 1]:
                raise MetalffError(f"{path}: {locked[0]} is encrypted; unpack the archive and give the folder")
            return [Member(path, e.filename, _file(e.filename), parse(_file(e.filename)), e.file_size, f"{e.CRC:08x}") for e in entries]
    except zipfile.BadZipFile:
        pass
    except OSError as error:
        raise MetalffError(f"{path}: cannot be read: {error.strerror}") from None
    with path.open("rb") as stream:
        if stream.read(4) != b"PK\x03\x04":
            told = "fetch it again" if path.suffix == ".zip" else f"a file needs no import: give it as it is (--data {path})"
            raise MetalffError(f"{path} is {'empty' if not path.stat().st_size else 'no zip archive and no folder of a set'}; {told}")
    if not salvage:
        raise MetalffError(
            f"{path} is damaged or cut short at {path.stat().st_size:,} bytes: the table of contents at its end is missing; fetch it again, or import "
            f"what is whole in it: metalff data import {path} --skip-bad"
        )
    return [
        Member(path, inside, _file(inside), parse(_file(inside)), None, f"cut-{path.stat().st_size}", start)
        for inside, start in _headers(path)
        if _wanted(inside)
    ]


def each_of(known: list[Member], name: str, keys: Keys, notes: list[str]) -> Iterator[Frame]:
    """Frames of files in a layout, as ``layout.read_folder`` reads the folder that was packed, without its manifest.

    Args:
        name: of the archive, for files without a folder in it.
    """
    texts = [(member.file, str(member), PurePosixPath(member.inside).parent.name or name, member.lines) for member in known]
    yield from each_of_files(texts, keys, notes, {})


def _file(inside: str) -> str:
    return PurePosixPath(inside).name


def _wanted(inside: str) -> bool:
    """In a layout, and not the resource fork that macOS puts beside it."""
    return parse(_file(inside)) is not None and not inside.startswith("__MACOSX/")


def _headers(path: Path) -> Iterator[tuple[str, int]]:
    """(name, start) of the members of an archive without a table of contents, from header to header."""
    with path.open("rb") as stream:
        start = 0
        while True:
            stream.seek(start)
            raw = stream.read(LOCAL.size)
            if len(raw) < LOCAL.size or not raw.startswith(b"PK\x03\x04"):
                return
            _, _, flags, method, _, _, _, packed, _, length, extra = LOCAL.unpack(raw)
            name = stream.read(length)
            body = start + LOCAL.size + length + extra
            yield name.decode("utf-8" if flags & 0x800 else "cp437"), start
            if not flags & 8 and packed != 0xFFFFFFFF:
                start = body + packed
                continue
            if method != DEFLATED:
                return
            try:
                end = body + sum(used for used, _ in _inflate(stream, body))
            except (EOFError, zlib.error):
                return
            start = _after_descriptor(stream, end)


def _after_descriptor(stream, end: int) -> int:
    """Where the next header begins: sizes that follow the data take 12 to 24 bytes."""
    stream.seek(end)
    at = stream.read(28).find(b"PK\x03\x04", 12)
    return end + at if at >= 0 else end + 28


def unpacked(path: Path, start: int) -> Iterator[bytes]:
    """Content of the member whose header begins at ``start``.

    Raises:
        EOFError: the archive ends before.
        zlib.error: damaged.
    """
    with path.open("rb") as stream:
        stream.seek(start)
        _, _, _, method, _, _, _, packed, _, length, extra = LOCAL.unpack(stream.read(LOCAL.size))
        body = start + LOCAL.size + length + extra
        if method == DEFLATED:
            yield from (content for _, content in _inflate(stream, body))
            return
        stream.seek(body)
        while packed > 0:
            chunk = stream.read(min(CHUNK, packed))
            if not chunk:
                raise EOFError("the archive ends")
            packed -= len(chunk)
            yield chunk


def _inflate(stream: io.BufferedReader, body: int) -> Iterator[tuple[int, bytes]]:
    """(bytes used, content), piece by piece, until the end of the deflated data."""
    stream.seek(body)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    while not inflater.eof:
        chunk = stream.read(CHUNK)
        if not chunk:
            raise EOFError("the archive ends")
        content = inflater.decompress(chunk)
        yield len(chunk) - len(inflater.unused_data), content


def md5(path: Path) -> str:
    """Of a file, as publishers of data give it."""
    digest = hashlib.md5(usedforsecurity=False)
    with Path(path).open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
