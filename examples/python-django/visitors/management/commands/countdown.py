"""A worker: counts down and ends, as a small job does. WORKER_TICKS says how far."""

import os
import time

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Counts down, one line a second"

    def handle(self, *arguments, **options):
        for left in range(int(os.environ.get("WORKER_TICKS", "5")), 0, -1):
            self.stdout.write(f"worker: {left} to go")
            time.sleep(1)
        self.stdout.write("worker: done")
