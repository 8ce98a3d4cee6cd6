"""How files are written: an ordinary one is replaced at once and stays as it was in all but content.

What is not ordinary is never replaced. A link is followed; a device, a FIFO, a terminal or `/dev/stdout` is written to.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path

from odebench.errors import UsageError

_DESCRIPTOR = re.compile(r"/proc/(\d+)(?:/task/\d+)?/fd/(\d+)|/dev/fd/(\d+)")
_MOST_LINKS = 40  # in a row, as the kernel has it
# A folder where nothing can be made, or a file that is a mount of its own: what is there can still be written.
_NO_REPLACING = (errno.EACCES, errno.EPERM, errno.EBUSY, errno.EXDEV, errno.EROFS)


def deliver(path: str | Path, content: str | bytes, named: str | None = None, *, durable: bool = False) -> None:
    """`replace` for what a user asked to be written.

    Args:
        named: what the message begins with; the path by default.

    Raises:
        UsageError: it cannot be written.
        BrokenPipeError: whoever read it has gone.
    """
    try:
        replace(path, content, durable=durable)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        raise UsageError(f"{named or path}: cannot be written: {told}; name another file") from error


def replace(path: str | Path, content: str | bytes, *, durable: bool = False) -> None:
    """Give the file `path` a new content; text is written as UTF-8.

    An ordinary file, or one that is not there yet, changes at once: a reader, or a crash, sees the old or the new one,
    never a part. It keeps its mode, and its owner. Where that cannot be had (hard links, a file that is mounted, a
    foreign owner, a folder that is read-only) the file is written in place.

    Args:
        durable: have it on the disk before this returns.

    Raises:
        OSError: it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    place, descriptor = _follow(path)
    if descriptor is not None:
        _write_to(descriptor, data)
        return
    try:
        there = os.stat(place)
    except FileNotFoundError:
        there = None
    if there is not None and not stat.S_ISREG(there.st_mode):
        if stat.S_ISDIR(there.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        _write_in_place(place, data)
    elif there is not None and (there.st_nlink > 1 or not os.access(place, os.W_OK)):
        _write_in_place(place, data, durable)  # of a read-only file this raises, as it should
    else:
        _exchange(place, there, data, durable)


def _follow(path: str | Path) -> tuple[str, int | None]:
    """Where the links of `path` lead; or, where they lead to one of our own open files, its descriptor.

    To open such a link again would start at the beginning of a file that the shell writes to as well.
    """
    place = os.fspath(path)
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(os.path.abspath(place))
        place = os.path.join(os.path.realpath(folder), name)
        found = _DESCRIPTOR.fullmatch(place)
        if found:
            own = found[1] is None or int(found[1]) == os.getpid()
            return place, int(found[2] or found[3]) if own else None
        if not os.path.islink(place):
            return place, None
        place = os.path.join(os.path.dirname(place), os.readlink(place))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _write_to(descriptor: int, data: bytes) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()  # what was printed before comes before
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _write_in_place(place: str, data: bytes, durable: bool = False) -> None:
    with open(place, "wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def _exchange(place: str, there: os.stat_result | None, data: bytes, durable: bool) -> None:
    # A name that nobody can have prepared, and as short as can be: long ones have no room for more.
    draft = os.path.join(os.path.dirname(place), f".{secrets.token_hex(8)}.part")
    mode = 0o666 if there is None else there.st_mode & 0o600
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), mode)
        try:
            with open(handle, "wb") as file:
                file.write(data)
                if there is not None:
                    _keep(handle, there)
                if durable:
                    file.flush()
                    os.fsync(handle)
            os.replace(draft, place)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            raise
    except OSError as error:
        if there is None or error.errno not in _NO_REPLACING:
            raise
        _write_in_place(place, data, durable)


def _keep(handle: int, there: os.stat_result) -> None:
    """Owner, then mode: a change of owner takes special bits away.

    Raises:
        PermissionError: the owner cannot be kept, and so the file not be replaced.
    """
    now = os.fstat(handle)
    if (now.st_uid, now.st_gid) != (there.st_uid, there.st_gid):
        os.fchown(handle, there.st_uid, there.st_gid)
    os.fchmod(handle, stat.S_IMODE(there.st_mode))
