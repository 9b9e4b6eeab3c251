"""A worker: counts down and ends, as a small job does. WORKER_TICKS says how far."""

import os
import time

for left in range(int(os.environ.get("WORKER_TICKS", "5")), 0, -1):
    print(f"worker: {left} to go")
    time.sleep(1)
print("worker: done")
