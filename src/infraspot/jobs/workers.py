"""How the processes of a pool behave: Ctrl-C is for their parent, and they end when it does."""

import os
import signal
import threading
from multiprocessing import parent_process


def follow_parent() -> None:
    """Make this worker leave Ctrl-C to its parent, and end when the parent is killed.

    A worker of a killed parent would otherwise wait for work for ever.
    """
    parent = parent_process()
    if parent is None:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
