"""Memory that a forward pass has used once is kept for the next one.

glibc takes large blocks fresh from the kernel and gives them back at once, and the kernel clears
each page again when it is next touched: page faults in every layer of every pass.
"""

import ctypes

#: Parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_large_blocks() -> bool:
    """Tell glibc to keep what it was given; whether there was a glibc to tell."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 1 << 30))
