"""What has to be let go before the heap is snapshotted."""

import gc
import sys

import _dyno_snapshot

from _dyno import process


def close():
    """Leaves a heap that can start again in another instance: nothing may be printed after this.

    Handles of the host do not survive; files that the app left open are lost (their descriptor
    answers EBADF afterwards), directories and standard streams open themselves again.
    """
    gc.collect()
    # What survived so far lives as long as the process: keep collections away from those pages.
    gc.freeze()
    sys.stdout.flush()
    sys.stderr.flush()
    process.running = False
    _dyno_snapshot.reset()
