"""Whatever prints, the log has JSON lines, and few of one cause."""

from __future__ import annotations

import subprocess
import sys

from tallystick.kit.log_capture import ThreadedSampling
from tallystick.kit.log_sampling import SAMPLE_EVERY_S
from tests.support.log_lines import log_lines
from tests.support.polling import eventually

#: A program that prints in every way that libraries and the interpreter know.
PROGRAM = """
import asyncio, gc, logging, sys, threading, warnings
from tallystick.kit.logs import configure_logging
from tallystick.kit.log_capture import LOGGING, capture_output

configure_logging("info", ["bank_key"])
capture_output()
if "granian" in sys.argv:
    from granian.log import LogLevels, configure_logging as of_granian
    of_granian(LogLevels.warning, LOGGING)

async def fails(number):
    raise ConnectionResetError("4242424242424242")

async def main():
    tasks = [asyncio.create_task(fails(number)) for number in range(100)]
    await asyncio.wait(tasks)
    tasks.clear()
    del tasks
    gc.collect()

asyncio.run(main())
logging.getLogger("some.library").error("broken\\nin two lines")
logging.getLogger("some.library").warning("card 4242424242424242")
logging.getLogger("some.library").info("of no interest")
logging.getLogger("_granian").error("Unexpected exit from worker-1")
logging.getLogger("some.library").error("%d arguments", "no", "such")
warnings.warn("deprecated")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()

class Unraisable:
    def __del__(self):
        raise LookupError("4242424242424242")

Unraisable()
raise KeyError("4242424242424242")
"""


def printed(*arguments: str) -> list[tuple[str, str, int]]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "4242424242424242" not in done.stderr
    lines = log_lines(done.stderr)
    return [(line["component"], line.get("error", ""), line["since_last_line"]) for line in lines]


def test_all_that_prints_is_json_and_a_flood_one_line() -> None:
    lines = printed()
    assert lines == [
        ("asyncio", "ConnectionResetError", 1),
        ("some.library", "", 1),
        ("some.library", "", 1),
        ("_granian", "", 1),
        ("some.library", "", 1),
        ("py.warnings", "", 1),
        ("python", "ZeroDivisionError", 1),
        ("python", "LookupError", 1),
        ("python", "KeyError", 1),
        ("asyncio", "ConnectionResetError", 99),
    ], lines
    assert printed("granian") == lines, "granian makes its loggers anew"


def test_what_is_counted_is_said_at_the_end_of_its_window() -> None:
    lines, said = ThreadedSampling(0.01), list[int]()
    for _ in range(50):
        lines.line("a", said.append)
    eventually(lambda: sum(said) >= 50)
    assert said[0] == 1 and sum(said) == 50 and len(said) <= 5


def test_causes_are_bounded() -> None:
    lines, said = ThreadedSampling(SAMPLE_EVERY_S), list[int]()
    for number in range(10_000):
        lines.line(number, said.append)
    assert len(said) < 100
