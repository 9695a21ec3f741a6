"""Files that are replaced whole or not at all."""

import contextlib
import os
import secrets
import stat
from collections.abc import Generator

from jseq.errors import FileError

PREFIX = ".tmp-jseq-"


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Generator[str]:
    """Names a temporary file beside `path`, which takes its place when the block has written it without an error.

    At every moment `path` is the old file or the new one: the new one is on the disk before it gets the name, and
    an error removes it. A killed process may leave it behind, as `.tmp-jseq-...`. A link stays a link, and an
    existing file keeps its permissions.

    Raises:
        FileError: path is a folder or a device.
        OSError: the file cannot be written.
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder}, in which {os.path.basename(target)} could be written.")
    mode = os.stat(target).st_mode if os.path.exists(target) else None
    if mode is not None and not stat.S_ISREG(mode):
        raise FileError(f"{os.fspath(path)} is no file, and is not written over.")
    if mode is not None and not os.access(target, os.W_OK):
        raise PermissionError(f"{os.fspath(path)} is write-protected.")
    temporary = os.path.join(folder, PREFIX + secrets.token_hex(8))
    try:
        with open(temporary, "xb") as file:
            usual = os.fstat(file.fileno()).st_mode
        yield temporary
        # Whoever wrote it may have put a file of its own in this place: the permissions are those of any new file.
        os.chmod(temporary, stat.S_IMODE(usual if mode is None else mode) & 0o777)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    keep_name(folder)


def keep_name(folder: str) -> None:
    """Writes the folder to the disk too, so that a power cut does not bring the old file back."""
    if os.name != "posix":
        return  # Windows opens no folders
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
