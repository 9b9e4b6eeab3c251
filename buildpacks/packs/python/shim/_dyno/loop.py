"""An asyncio event loop that waits on host pollables, sockets and timers at once."""

import asyncio
import select
import selectors
from asyncio import selector_events

from wit_world.imports import monotonic_clock, poll

from _dyno.limits import MIXED_WAIT_SECONDS


class _Selector(selectors._BaseSelectorImpl):
    """Waits for pollables of the host; sockets are looked at with libc's `select`.

    libc makes pollables of its sockets but does not show them, so the two kinds can only be
    waited for together in short turns. Either kind alone waits without turns.
    """

    def __init__(self):
        super().__init__()
        self.pollables = {}

    def select(self, timeout=None):
        sockets = self.get_map()
        if not self.pollables:
            if not sockets:
                if timeout is None or timeout > 0:
                    self._poll_host(timeout)
                return []
            return self._select_sockets(timeout)
        if not sockets:
            self._poll_host(timeout)
            return []
        events = self._select_sockets(0)
        if not events:
            turn = MIXED_WAIT_SECONDS if timeout is None else min(timeout, MIXED_WAIT_SECONDS)
            self._poll_host(turn)
            events = self._select_sockets(0)
        return events

    def _select_sockets(self, timeout):
        readers, writers = [], []
        for key in self.get_map().values():
            if key.events & selectors.EVENT_READ:
                readers.append(key.fd)
            if key.events & selectors.EVENT_WRITE:
                writers.append(key.fd)
        readable, writable, _ = select.select(readers, writers, [], timeout)
        ready = {}
        for descriptor in readable:
            ready[descriptor] = selectors.EVENT_READ
        for descriptor in writable:
            ready[descriptor] = ready.get(descriptor, 0) | selectors.EVENT_WRITE
        keys = self.get_map()
        return [(keys[fd], events & keys[fd].events) for fd, events in ready.items()]

    def _poll_host(self, timeout):
        waiting = list(self.pollables.items())
        handles = [pollable for pollable, _ in waiting]
        timer = None
        if timeout is not None:
            timer = monotonic_clock.subscribe_duration(max(0, int(timeout * 1e9)))
            handles.append(timer)
        if not handles:
            raise RuntimeError("the event loop would wait for ever: nothing can wake it")
        try:
            for index in poll.poll(handles):
                if index < len(waiting):
                    pollable, future = waiting[index]
                    del self.pollables[pollable]
                    pollable.__exit__(None, None, None)
                    if not future.done():
                        future.set_result(None)
        finally:
            if timer is not None:
                timer.__exit__(None, None, None)


class Loop(selector_events.BaseSelectorEventLoop):
    """asyncio's own loop over `_Selector`; there are no threads, so it needs no pipe to itself."""

    def __init__(self):
        super().__init__(_Selector())

    def _make_self_pipe(self):
        self._ssock = self._csock = None

    def _close_self_pipe(self):
        pass

    def _write_to_self(self):
        pass

    def run_in_executor(self, executor, func, *args):
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            future.set_exception(error)
        return future

    def wait(self, pollable):
        """A future that is done when `pollable` is ready; the loop drops the pollable."""
        future = self.create_future()
        self._selector.pollables[pollable] = future
        return future

    def run_ready(self, turns):
        """Runs what can run without waiting, at most `turns` times round."""

        async def idle():
            for _ in range(turns):
                if not self._ready:
                    return
                await asyncio.sleep(0)

        self.run_until_complete(idle())


class Policy(asyncio.events._BaseDefaultEventLoopPolicy):
    """Makes `asyncio.run` and `asyncio.new_event_loop` use `Loop`."""

    _loop_factory = Loop


def install():
    """Makes `Loop` the loop of this process."""
    asyncio.events._event_loop_policy = Policy()
    asyncio.SelectorEventLoop = asyncio.DefaultEventLoop = Loop
