"""The queues of a GPU's work, as torch.cuda offers them: streams, and events in them."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from benchmark.checks.pretended.log import Log
from benchmark.checks.pretended.places import GPU


class _Queue:
    """What streams and events have in common."""

    log: Log
    device = GPU

    def __init__(self, *args: Any, **kwargs: Any):
        """Any arguments are accepted, because they change nothing here."""

    def synchronize(self) -> None:
        self.log.wait(f"the synchronize() of a{'n' if isinstance(self, _Event) else ''} {type(self).__name__.lower()}")

    def query(self) -> bool:
        return True


class _Event(_Queue):
    def record(self, stream: Any = None) -> None:
        """Nothing: all work is done at once."""

    def wait(self, stream: Any = None) -> None:
        """Nothing: only the GPU would wait."""

    def elapsed_time(self, end_event: Any) -> float:
        return 0.0


class _Stream(_Queue):
    event: type[_Event]

    def wait_stream(self, stream: Any) -> None:
        """Nothing: only the GPU would wait."""

    def wait_event(self, event: Any) -> None:
        """Nothing: only the GPU would wait."""

    def record_event(self, event: Any = None) -> Any:
        return event or self.event()

    def is_capturing(self) -> bool:
        return False

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def queues(log: Log) -> dict[str, Any]:
    """Return what torch.cuda has for streams and events, by name.

    Args:
        log: notes where the program waits for one.
    """
    event = type("Event", (_Event,), {"log": log})
    stream = type("Stream", (_Stream,), {"log": log, "event": event})
    return {
        "Event": event,
        "Stream": stream,
        "current_stream": lambda device=None: stream(),
        "default_stream": lambda device=None: stream(),
        "set_stream": lambda stream: None,
        "stream": lambda stream: nullcontext(),
    }
