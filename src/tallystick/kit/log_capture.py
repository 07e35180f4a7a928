"""What libraries and the interpreter print becomes lines of our log: standard logging, warnings, errors nobody caught.

A reader of the log meets JSON alone, also while the database is away, and a flood of one cause is a few lines.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Any, Final

import structlog

from tallystick.kit.log_sampling import SAMPLE_EVERY_S
from tallystick.kit.logs import configure_logging, get_logger

#: More different lines than this in one window share a slot: a library may put anything into its text.
SLOTS: Final = 50

#: A longer text is cut: a line of a log is one write, whatever else the process prints at that moment.
TEXT_LIMIT: Final = 500

#: The last frames of a traceback say where; a line names file, line and function of each.
FRAMES: Final = 6

_LEVELS: Final = ((logging.ERROR, "error"), (logging.WARNING, "warning"), (logging.INFO, "info"))

_OTHERS: Final = "others"

Trace = TracebackType | None


class _Window:
    def __init__(self) -> None:
        self.suppressed = 0
        self.say: Callable[[int], None] | None = None


class ThreadedSampling:
    """Lines by slot from any thread: the first at once, then one per window with the number that it stands for."""

    def __init__(self, every_s: float = SAMPLE_EVERY_S) -> None:
        self._every_s = every_s
        self.reset()

    def reset(self) -> None:
        """Begin anew, as in a forked process: it has neither the timers of its parent nor its other threads."""
        self._windows: dict[Hashable, _Window] = {}
        self._lock = threading.RLock()  # what is said in here may itself be captured

    def line(self, slot: Hashable, say: Callable[[int], None]) -> None:
        """Write the line now, or count it for the next line of its slot."""
        with self._lock:
            if slot not in self._windows and len(self._windows) >= SLOTS:
                slot = _OTHERS
            window = self._windows.get(slot)
            if window is not None:
                window.suppressed += 1
                window.say = say
                return
            self._open(slot)
            say(1)

    def flush(self) -> None:
        """Say what was counted and not said yet."""
        with self._lock:
            for window in self._windows.values():
                if window.say is not None:
                    window.say(window.suppressed)
                window.say, window.suppressed = None, 0

    def _open(self, slot: Hashable) -> None:
        self._windows[slot] = _Window()
        timer = threading.Timer(self._every_s, self._end, (slot,))
        timer.daemon = True
        timer.start()

    def _end(self, slot: Hashable) -> None:
        with self._lock:
            window = self._windows.pop(slot)
            if window.say is not None:
                self._open(slot)
                window.say(window.suppressed)


_lines: Final = ThreadedSampling()
os.register_at_fork(after_in_child=_lines.reset)


class LineHandler(logging.Handler):
    """Writes records of the standard library's logging as lines of ours."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        if not structlog.is_configured():  # a process that granian has just started
            configure_logging("info", ())

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises: what cannot be written is a line that says so."""
        try:
            text = record.getMessage()
        except Exception:  # arguments that do not fit
            text = str(record.msg)
        level = next((name for number, name in _LEVELS if record.levelno >= number), "debug")
        kind, error, trace = record.exc_info or (None, None, None)
        _say(record.name, level, text, None if error is None else kind, trace)


def capture_output() -> None:
    """From now on nothing but our lines goes to standard error. Call it after ``configure_logging``."""
    root = logging.getLogger()
    root.handlers = [LineHandler()]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    atexit.register(_lines.flush)


def captures_output() -> bool:
    """Whether this process writes a log instead of words for people."""
    return any(isinstance(handler, LineHandler) for handler in logging.getLogger().handlers)


def _uncaught(kind: type[BaseException], _: BaseException, trace: Trace) -> None:
    _say("python", "error", "the process ends with an error that nobody expected", kind, trace)


def _uncaught_in_thread(thrown: threading.ExceptHookArgs) -> None:
    _say("python", "error", "a thread ended with an error", thrown.exc_type, thrown.exc_traceback)


def _unraisable(thrown: Any) -> None:
    _say("python", "error", thrown.err_msg or "an error was ignored", thrown.exc_type, thrown.exc_traceback)


def _say(component: str, level: str, text: str, kind: type[BaseException] | None, trace: Trace) -> None:
    """Of an error only type and place: its text may repeat what a client sent. Of a text only the first line: asyncio
    adds the whole task."""
    first = text.strip().partition("\n")[0][:TEXT_LIMIT]
    cause: dict[str, Any] = {}
    if kind is not None:
        frames = traceback.extract_tb(trace)[-FRAMES:]
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        cause = {"error": kind.__name__, "raised_at": places}
    logger = get_logger(component)

    def say(since_last_line: int) -> None:
        getattr(logger, level)(first or "(no text)", **cause, since_last_line=since_last_line)

    _lines.line((component, level, first, cause.get("error")), say)


#: For granian, which makes its loggers anew in each of its processes.
LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {},
    "handlers": {"lines": {"class": f"{__name__}.{LineHandler.__name__}"}},
    "loggers": {
        "_granian": {"handlers": [], "propagate": True},
        "granian.access": {"handlers": [], "propagate": True},
    },
    "root": {"handlers": ["lines"], "level": "WARNING"},
}
