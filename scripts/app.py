#!/usr/bin/env python3
"""A page to speak into, or to drop sound files on: is it a female or a male voice, how sure, and what it looked at?

    python scripts/app.py [--port N] [--no-browser]

The page is served to this machine only, loads nothing from others, and keeps nothing unless asked. Stop it with Ctrl-C.
Exit status: 130 stopped, 1 could not start, 2 wrong usage.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[0]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly("Stopped", names=("SIGINT", "SIGTERM", "SIGHUP"))  # so that what is temporary goes

import argparse
import contextlib
import shutil
import threading

from speaker_gender.showing.guard import stay_here

if __name__ == "__main__":
    stay_here()  # before Gradio is imported

from speaker_gender.classifying.classifier import default_model, load_classifier
from speaker_gender.learning.model_files import ModelError
from speaker_gender.showing.page import UPLOADS, build_page, open_page


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="A page to speak into, on this machine only.")
    parser.add_argument("--port", type=int, help="where it is served (default: the first that is free from 7860 on)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    options = parser.parse_args(arguments)
    page = None
    try:
        page = build_page(load_classifier(default_model()))
        address = open_page(page, port=options.port, browser=not options.no_browser)
        print(f"{address} (Ctrl-C stops it)", flush=True)
        with contextlib.suppress(ModuleNotFoundError):  # try.sh goes without torch
            from speaker_gender.judging import grad_cam  # noqa: F401, here, so that the first answer need not wait

        threading.Event().wait()
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    except (OSError, OverflowError):
        print(f"Cannot serve the page: port {options.port or ''} is taken or may not be used", file=sys.stderr)
        return 1
    finally:
        if page is not None:
            page.close(verbose=False)
        shutil.rmtree(UPLOADS, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # whatever the terminal's encoding
    run_main(main)
