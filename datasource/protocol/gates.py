"""Places that only so many have at once: the others wait in the order in which they came."""

import threading
from collections import deque


class Gate:
    """Lets so many through at once; the others wait in the order in which they came."""

    def __init__(self, places: int) -> None:
        self.free = places
        self._lock = threading.Lock()
        self._queue: deque[threading.Event] = deque()

    def enter(self, seconds: float) -> bool:
        """Take a place, for which to wait at most so many seconds; return whether there is one."""
        with self._lock:
            if self.free:
                self.free -= 1
                return True
            turn = threading.Event()
            self._queue.append(turn)
        if turn.wait(seconds):
            return True
        with self._lock:
            if turn.is_set():  # It came between the end of waiting and the lock.
                return True
            self._queue.remove(turn)
        return False

    def leave(self) -> None:
        """Give the place to whoever has waited longest, or keep it free."""
        with self._lock:
            if self._queue:
                self._queue.popleft().set()
            else:
                self.free += 1


class Gates:
    """A gate for each key, for example a token; what nobody uses takes no memory."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._lock = threading.Lock()
        self._gates: dict[bytes, tuple[Gate, int]] = {}

    def enter(self, key: bytes, seconds: float) -> bool:
        """Take a place at a key's gate, as Gate.enter does."""
        with self._lock:
            gate, users = self._gates.get(key) or (Gate(self._places), 0)
            self._gates[key] = gate, users + 1
        if gate.enter(seconds):
            return True
        self._forget(key)
        return False

    def leave(self, key: bytes) -> None:
        """Give back a place at a key's gate."""
        self._gates[key][0].leave()
        self._forget(key)

    def _forget(self, key: bytes) -> None:
        with self._lock:
            gate, users = self._gates.pop(key)
            if users > 1:
                self._gates[key] = gate, users - 1
