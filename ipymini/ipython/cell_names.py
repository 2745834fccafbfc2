"""Cell names room: the file name of a cell, by which tracebacks, linecache, breakpoints and their clients all know it.

Owns the hash, its seed, and the prefix and suffix that the debugger announces.
Must not know: IPython, debugpy.
Threads: any; pure.
Spec: messaging, "Debug request" (hashMethod, hashSeed, tmpFilePrefix, tmpFileSuffix in debugInfo)."""

import os, struct, tempfile, types

from ..request.flags import flag

HASH_SEED = 0xC70F6907
SUFFIX = ".py"


def prefix():
    "What the names of this process's cells begin with: a folder that only the debugger makes. JupyterLab, numba and joblib know cells by `ipykernel_` in it."
    return os.path.join(tempfile.gettempdir(), f"ipykernel_{os.getpid()}") + os.sep


def cell_file(code):
    "File name of the cell `code`; IPYMINI_CELL_NAME overrides it."
    return flag("IPYMINI_CELL_NAME") or f"{prefix()}{murmur2(code.encode('utf-8', 'surrogatepass'), HASH_SEED)}{SUFFIX}"


def own(code):
    """The code object `code`, unequal to that of any other file: to Python two are equal that differ in nothing but their file, and a debugger that remembers what it knows
    of each would miss a breakpoint, or stop where there is none."""
    inner = [own(c) if isinstance(c, types.CodeType) else c for c in code.co_consts]
    return code.replace(co_consts=(*inner, (code.co_filename,)))  # in a tuple, or it could be taken for a docstring


def murmur2(data, seed):
    "32-bit MurmurHash2 (x86) of `data`, as JupyterLab computes it."
    m,mask = 0x5BD1E995, 0xFFFFFFFF
    h,whole = (seed ^ len(data)) & mask, len(data) & ~3
    for (k,) in struct.iter_unpack("<I", data[:whole]):
        k = k*m & mask
        k = (k ^ k >> 24)*m & mask
        h = (h*m & mask) ^ k
    if rest := data[whole:]: h = (h ^ int.from_bytes(rest, "little"))*m & mask
    h = (h ^ h >> 13)*m & mask
    return h ^ h >> 15
