"""Records a second of speech into nbs/my_wavs/.

    python scripts/record_wav.py [--name NAME] [--seconds S] [--device D] [--classify] [--force]
    python scripts/record_wav.py --list-devices

48 kHz, mono, 16-bit, as AudioMNIST is. More than the second is recorded, and the part kept in which the speech is in
the middle. Exit status: 0 recorded (with --classify: the classifier's), 1 could not record, 2 wrong usage.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[0]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly("Stopped; nothing was written")  # from here on, whatever is imported

import argparse
import re
import time

import numpy as np

from speaker_gender.caching import shown
from speaker_gender.config import MY_WAVS, SAMPLE_RATE
from speaker_gender.sound.microphone import (
    MARGINS,
    Microphone,
    RecordingError,
    centred,
    level_meter,
    microphones,
    warning,
    write_wav,
)

COUNTDOWN = 3  # seconds
SECONDS = (0.2, 60)  # the shortest and the longest recording


def valid_name(text: str) -> str:
    """A recording's name without '.wav': letters, digits, '_', and inside it also ' ', '.', '+' and '-'.

    Raises argparse.ArgumentTypeError for anything else, so that no name leads outside the folder or looks like an
    option.
    """
    name = text.removesuffix(".wav")
    if len(name) > 100 or not re.fullmatch(r"\w([\w .+-]*\w)?", name):
        raise argparse.ArgumentTypeError(f"{text!r}: use letters, digits, '_' and '-', beginning with a letter")
    return name


def valid_seconds(text: str) -> float:
    """Raises argparse.ArgumentTypeError for what is no length that can be recorded."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not SECONDS[0] <= seconds <= SECONDS[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is not between {SECONDS[0]} and {SECONDS[1]}")
    return seconds


def free_name(folder: Path) -> str:
    """'recording_1', or the first number that is not taken."""
    number = 1
    while (folder / f"recording_{number}.wav").exists():
        number += 1
    return f"recording_{number}"


def record(microphone: Microphone, seconds: float, *, on_terminal: bool) -> np.ndarray:
    """One take after a countdown, cut to `seconds` around the speech: int16, shape (samples,). Shows the level."""
    n_samples = round(seconds * SAMPLE_RATE)
    before, after = (round(margin * SAMPLE_RATE) for margin in MARGINS)
    for left in range(COUNTDOWN, 0, -1):
        print(f"{left} … ", end="", flush=True)
        time.sleep(1 if left > 1 else max(1 - MARGINS[0], 0))
    told = False

    def show(n_recorded: int, newest: np.ndarray) -> None:
        nonlocal told
        if not told and n_recorded >= before:
            told = True
            print("Speak now!", flush=True)
        if told and on_terminal:
            print(f"\r{level_meter(newest)}", end="", flush=True)

    take = microphone.record(before + n_samples + after, show)
    signal = centred(take, n_samples, sample_rate=SAMPLE_RATE)
    print(f"\r{level_meter(signal)}  loudest")
    return signal


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description="Records one second of speech into nbs/my_wavs/.")
    parser.add_argument("--name", type=valid_name, help="of the file (default: recording_1, recording_2, …)")
    parser.add_argument("--seconds", type=valid_seconds, default=1.0, help="length (default: 1)")
    parser.add_argument("--device", help="number or part of the name of the microphone")
    parser.add_argument("--list-devices", action="store_true", help="list the microphones and stop")
    parser.add_argument("--classify", action="store_true", help="say at once which gender is heard")
    parser.add_argument("--force", action="store_true", help="replace a recording of that name")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = parse(arguments)
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    path = MY_WAVS / f"{options.name or free_name(MY_WAVS)}.wav"
    try:
        if options.list_devices:
            for number, device in enumerate(microphones(), 1):
                print(f"{number}: {device['name']}")
            return 0
        if path.exists() and not options.force:
            print(f"{shown(path)} is there already; choose another --name, or --force", file=sys.stderr)
            return 2
        with Microphone(options.device) as microphone:
            while True:
                signal = record(microphone, options.seconds, on_terminal=on_terminal)
                problem = warning(signal, sample_rate=SAMPLE_RATE)
                if problem:
                    print(f"Warning: {problem}", file=sys.stderr)
                if not problem or not on_terminal or input("Try again? [Y/n] ").strip().lower().startswith("n"):
                    break
        write_wav(path, signal, sample_rate=SAMPLE_RATE)
    except RecordingError as error:
        print(f"Cannot record: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Cannot write {shown(path)}: {error.strerror}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("\nStopped; nothing was written", file=sys.stderr)
        return 1
    print(f"Recorded {shown(path)}")
    if options.classify:
        from classify_wavs import main as classify  # here, because few who record want it

        return classify([str(path)])
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # whatever the terminal's encoding
    run_main(main)
