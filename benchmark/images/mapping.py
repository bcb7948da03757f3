"""Files mapped into RAM.

Python's `mmap` and NumPy's `memmap` keep a file descriptor as long as the mapping lives, and a process may have only a
few (`ulimit -n`). A stream of many tasks has a file per split, so the system's own call is used here: its mapping needs
no descriptor.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_POSIX = os.name == "posix"

if _POSIX:
    _C = ctypes.CDLL(None, use_errno=True)
    _C.mmap.restype = ctypes.c_void_p
    _C.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *3 * (ctypes.c_int,), ctypes.c_long)
    _C.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    _C.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

# The call returns -1 as an address if it fails.
_FAILED = ctypes.c_void_p(-1).value


def map_file(file: BinaryIO, size: int) -> NDArray[np.uint8]:
    """The first bytes of a file, mapped until nobody uses them any more; `file` may be closed before.

    Writing to them never changes the file. They are read-only if the system grants no RAM for writing.

    Args:
        size: how many bytes, from 1 to the file's length.

    Returns:
        uint8 [size].

    Raises:
        OSError: the system refuses it.
    """
    if not _POSIX:
        return np.frombuffer(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY), dtype=np.uint8)
    # The system may refuse writable pages if it has too little RAM for them.
    address, writable = _mapped(file, size, mmap.PROT_READ | mmap.PROT_WRITE), True
    if address is None:
        address, writable = _mapped(file, size, mmap.PROT_READ), False
    if address is None:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    memory = (ctypes.c_uint8 * size).from_address(address)
    # Every array and tensor of these bytes keeps `memory` alive. When the process ends, the system unmaps by itself.
    weakref.finalize(memory, _C.munmap, address, size).atexit = False
    array = np.frombuffer(memoryview(memory), dtype=np.uint8)
    array.flags.writeable = writable
    return array


def _mapped(file: BinaryIO, size: int, protection: int) -> int | None:
    """The address; None if the system refuses."""
    address = _C.mmap(None, size, protection, mmap.MAP_PRIVATE, file.fileno(), 0)
    return None if address == _FAILED else address


def release(array: NDArray[np.uint8]) -> None:
    """Free the RAM of an array from `map_file`; pages that are used later are read from the file again.

    Raises:
        OSError: the system refuses it.
    """
    if hasattr(mmap, "MADV_DONTNEED") and _C.madvise(array.ctypes.data, array.nbytes, mmap.MADV_DONTNEED):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
