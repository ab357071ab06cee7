"""Files by name, wherever they lie: in a folder, or in a .tar or .zip that is read in place."""

import bz2
import dataclasses
import gzip
import io
import logging
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from gen_jax.errors import UserError

LARGE_ARCHIVE = 2**30
DECOMPRESS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
JUNK = ("__MACOSX", "Thumbs.db", "desktop.ini")

log = logging.getLogger("gen_jax")
E = TypeVar("E")


@dataclasses.dataclass(frozen=True)
class Files:
    """What `open_files` found, without hidden files and system litter. Names are relative, with slashes, and sorted.

    read: the bytes of a file by its name; safe to call from several threads.
    folders: every folder, also the empty ones. stamp: changes when any file does."""

    path: str
    names: tuple[str, ...]
    folders: frozenset[str]
    read: Callable[[str], bytes]
    stamp: str


def open_files(path: str) -> Files:
    """The files of a folder, a .tar (also compressed: then it is read once, into memory) or a .zip.

    Raises:
      UserError: nothing there, or a file that is no archive or a damaged one.
    """
    if not path:
        raise UserError("a path is needed: the folder, .tar or .zip with the images")
    where = Path(path).expanduser()
    if not where.exists():
        raise UserError(f"{path}: no such file or folder")
    try:
        if where.is_dir():
            return _folder(path, where)
        return _zip(path, where) if zipfile.is_zipfile(where) else _tar(path, where)
    except PermissionError as error:
        raise UserError(f"{error.filename or path}: permission denied") from error


def _folder(path: str, where: Path) -> Files:
    names, folders, stamps = [], set(), []
    for folder, below, files in os.walk(where, followlinks=True):
        relative = Path(folder).relative_to(where)
        # a link to a folder that contains it would be walked for ever
        real = Path(folder).resolve()
        below[:] = [d for d in below if not _hidden(d) and (Path(folder) / d).resolve() not in (real, *real.parents)]
        folders |= {(relative / d).as_posix() for d in below}
        for name in files:
            file = Path(folder) / name
            if not _hidden(name) and file.is_file():
                status = file.stat()
                names.append((relative / name).as_posix())
                stamps.append(f"{names[-1]} {status.st_size} {status.st_mtime_ns}")
    return Files(
        path, tuple(sorted(names)), frozenset(folders), lambda n: (where / n).read_bytes(), str(sorted(stamps))
    )


def _zip(path: str, where: Path) -> Files:
    archive = zipfile.ZipFile(where)  # its reads take turns by a lock of its own
    entries = {_clean(entry.filename): entry for entry in archive.infolist()}
    return _archive(
        path, where, entries, lambda entry: archive.read(entry), [n for n, e in entries.items() if e.is_dir()]
    )


def _tar(path: str, where: Path) -> Files:
    """Of a plain .tar only the headers are read. A compressed one has no random access: it is unpacked in memory."""
    with where.open("rb") as file:
        magic = file.read(8)
    content, damage = None, None
    decompress: Any
    for start, decompress in DECOMPRESS.items():
        if magic.startswith(start):
            if where.stat().st_size > LARGE_ARCHIVE:
                log.warning("%s: is unpacked in memory; unpack it on disk, or make it a plain .tar", path)
            try:
                content = decompress(where).read()
            except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
                raise UserError(f"{path}: the archive is damaged: {error}") from error
    members: dict[str, tarfile.TarInfo] = {}
    try:
        with tarfile.open(where, "r:", fileobj=None if content is None else io.BytesIO(content)) as archive:
            for member in archive:
                members[_clean(member.name)] = member
    except tarfile.TarError as error:
        damage = error
    if not members:
        raise UserError(f"{path}: neither a folder nor a .tar, .tar.gz, .tar.xz, .tar.bz2 or .zip archive") from damage
    if damage:
        raise UserError(f"{path}: the archive is damaged after {len(members)} files: {damage}") from damage

    def read(member: tarfile.TarInfo) -> bytes:
        if member.islnk():  # a second name of a file that the archive holds once
            member = members[_clean(member.linkname)]
        if content is not None:
            return content[member.offset_data : member.offset_data + member.size]
        with where.open("rb") as file:  # a handle per read: reads from several threads don't move each other's
            file.seek(member.offset_data)
            return file.read(member.size)

    entries = {n: m for n, m in members.items() if m.isfile() or m.islnk()}
    return _archive(path, where, entries, read, [n for n, m in members.items() if m.isdir()])


def _archive(path: str, where: Path, entries: dict[str, E], read: Callable[[E], bytes], folders: list[str]) -> Files:
    """`Files` of an archive's entries by name; folders without an entry of their own follow from the names."""
    names = tuple(sorted(n for n in entries if n not in folders and not any(map(_hidden, n.split("/")))))
    kept = {f for f in folders if f and not any(map(_hidden, f.split("/")))}
    status = where.stat()
    stamp = f"{where.resolve()} {status.st_size} {status.st_mtime_ns}"
    return Files(path, names, frozenset(kept | set(_parents(names))), lambda name: read(entries[name]), stamp)


def _parents(names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        yield from (p.as_posix() for p in PurePosixPath(name).parents if p.name)


def _clean(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).as_posix().strip("/").removeprefix("./")


def _hidden(part: str) -> bool:
    return part.startswith(".") or part in JUNK
