"""Ctrl-C ends a program at once, in one line and without a traceback, whatever it is importing or doing."""

import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

KEPT = "Stopped. The same command goes on from here: what was finished is kept."

_state: dict = {"message": KEPT, "running": False, "stopped": False}


def end_quietly(message: str = KEPT, *, names: tuple[str, ...] = ("SIGINT",)) -> None:
    """Have Ctrl-C end this program with a line; call it before anything large is imported.

    `names`: the signals that do, where there are such. One that is ignored stays so: a program that was started in the
    background ignores Ctrl-C, as its shell wants, and one under nohup the end of its terminal.
    """
    _state["message"] = message
    for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def run_main(main: Callable[[], int]) -> NoReturn:
    """Run a program's main function and leave with its exit status, or with 130 after Ctrl-C.

    What main has open is closed, but nothing is waited for: worker processes end with their parent (see parallel).
    """
    _state["running"] = True
    try:
        status = main()
    except BaseException:  # modules written in C turn a KeyboardInterrupt into an ImportError
        if _state["stopped"]:
            _leave()
        raise
    sys.exit(status)


def _stop(*_) -> None:
    _state["stopped"] = True
    warnings.simplefilter("ignore")  # joblib's, of work that is dropped
    if not _state["running"]:
        _leave()
    raise KeyboardInterrupt


def _leave() -> NoReturn:
    print(f"\n{_state['message']}", file=sys.stderr, flush=True)
    os._exit(130)
