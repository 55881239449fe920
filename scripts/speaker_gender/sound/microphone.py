"""The microphone: what there is to record from, and a take of speech from it."""

import os
import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from speaker_gender.caching import replacing
from speaker_gender.config import SAMPLE_RATE
from speaker_gender.sound.reading import INT16_FULL_SCALE
from speaker_gender.sound.speech import speech_windows, why_not_speech

MARGINS = (0.5, 0.75)  # seconds recorded before "Speak now!" and after the time is up: some are early, most are late


PATIENCE = 3  # seconds without sound after which the microphone is given up


QUIETEST_SHOWN = -60  # dBFS, the left end of the level meter


# What sound systems offer beside microphones: ALSA's null device, which sends zeros, and what outputs play. Their
# descriptions are in the desktop's language (PulseAudio: "Moniteur de …"), their identifiers are not.
NOT_MICROPHONES = re.compile(
    r"discard all samples|^monitor of |\.monitor$|^null$|\bnull (output|input|device)\b", re.IGNORECASE
)
CLIPPED_SAMPLES = 3  # at the extremes of 16 bits


WARNINGS = {
    "clipped": "it is clipped: speak more softly or further from the microphone",
    "silence": "it is silent: is the microphone muted, or another one in use (--list-devices)?",
    "no speech": "no speech was found in it",
    "too short": "there is hardly any speech in it",
}


class RecordingError(RuntimeError):
    """Nothing can be recorded; the message is one line that says why."""


def centred(take: np.ndarray, n_samples: int, *, sample_rate: int) -> np.ndarray:
    """The part of a take with the speech in its middle.

    Speech longer than that keeps its most energetic part; where there is none, the part is the one that was asked for,
    between the margins. `take`: int16, shape (samples,), of at least n_samples. `n_samples`: of the part.
    `sample_rate`: In Hz. Returns ndarray: int16, shape (n_samples,); a view.
    """
    longest_start = len(take) - n_samples
    windows = speech_windows(take.astype(np.float64), sample_rate=sample_rate)
    if not windows:
        start = round(longest_start * MARGINS[0] / sum(MARGINS))
    else:
        first, last = windows[0].start, windows[-1].start + len(windows[-1].signal)
        start = (first + last - n_samples) // 2
        if last - first > n_samples:
            energy = np.concatenate([[0.0], np.cumsum(take.astype(np.float64) ** 2)])
            starts = np.arange(max(first, 0), min(last - n_samples, longest_start) + 1)
            start = int(starts[np.argmax(energy[starts + n_samples] - energy[starts])])
    start = min(max(start, 0), longest_start)
    return take[start : start + n_samples]


def level_meter(signal: np.ndarray, *, width: int = 30) -> str:
    """A bar and the peak level as one line of constant length, from -60 dBFS (empty) to 0 (full).

    Parameters
    ----------
    signal : ndarray
        int16, shape (samples,).
    width : int
        Characters of the bar.

    Examples
    --------
    >>> level_meter(np.array([0, 8192], dtype=np.int16), width=10)
    '[########  ]  -12 dBFS'
    """
    peak = np.abs(signal.astype(np.float64)).max(initial=0) / INT16_FULL_SCALE
    level = max(20 * np.log10(max(peak, 1e-6)), QUIETEST_SHOWN)
    filled = round(width * (1 - level / QUIETEST_SHOWN))
    return f"[{'#' * filled}{' ' * (width - filled)}] {round(level):4d} dBFS"


def warning(signal: np.ndarray, *, sample_rate: int) -> str | None:
    """What is wrong with a recording, as a sentence; None if it is fine.

    `signal`: int16, shape (samples,). `sample_rate`: In Hz.
    """
    if np.sum((signal == np.iinfo(np.int16).max) | (signal == np.iinfo(np.int16).min)) >= CLIPPED_SAMPLES:
        return WARNINGS["clipped"]
    if not signal.any():
        return f"it holds nothing but zeros: {why_only_zeros()}"
    reason = why_not_speech(signal.astype(np.float64), sample_rate=sample_rate)
    return WARNINGS[reason] if reason else None


def why_only_zeros(system: str = sys.platform) -> str:
    """What most likely keeps a microphone silent to the last bit, in the words of the system's own settings."""
    return {
        "darwin": "macOS sends zeros to programs without permission: System Settings, Privacy & Security, Microphone, "
        "allow the terminal; or the input volume in Sound is at zero",
        "win32": "Windows sends zeros to programs without permission: Settings, Privacy & security, Microphone, let "
        "desktop apps access it; or the device is muted in Sound settings",
    }.get(system, "it is muted, or its capture level is at zero: look at the sound settings, or at alsamixer (F4)")


def write_wav(path: Path, signal: np.ndarray, *, sample_rate: int) -> None:
    """Writes int16 samples, shape (samples,), as a mono 16-bit WAV: whole, or not at all."""
    with replacing(path) as partial:
        soundfile.write(partial, signal, sample_rate, subtype="PCM_16", format="WAV")


@contextmanager
def quiet_libraries():
    """Keeps what ALSA's and other C libraries print about missing devices off the terminal; our line says it."""
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def backends() -> list:
    """The system's sound servers; without miniaudio's null backend, which would record silence where there is none."""
    import miniaudio

    return [
        backend for backend in miniaudio.Backend if backend not in (miniaudio.Backend.NULL, miniaudio.Backend.CUSTOM)
    ]


def microphones() -> list[dict]:
    """Records of miniaudio (`name`, `id`, …) of the microphones, without ALSA's null device and monitors of outputs.

    Raises RecordingError if there is none.
    """
    import miniaudio

    try:
        with quiet_libraries():
            found = miniaudio.Devices(backends()).get_captures()
    except miniaudio.MiniaudioError:
        found = []
    found = [
        device
        for device in found
        if not any(NOT_MICROPHONES.search(name) for name in (device["name"], identifier(device)))
    ]
    if not found:
        raise RecordingError("no microphone or sound server found")
    return found


def identifier(device: dict) -> str:
    """What the sound server itself calls a device of `microphones`, whatever the language; '' where it has no text."""
    import miniaudio

    text = bytes(miniaudio.ffi.buffer(device["id"])).partition(b"\0")[0]
    return text.decode(errors="replace")


def choose(found: list[dict], wanted: str) -> dict:
    """The microphone with that number in the list (from 1), or with that text in its name, whatever the case.

    Raises RecordingError where there is none, or more than one.
    """
    if wanted.isdecimal() and 1 <= int(wanted) <= len(found):
        return found[int(wanted) - 1]
    matches = [device for device in found if wanted and wanted.lower() in device["name"].lower()]
    if len(matches) != 1:
        raise RecordingError(f"{'no' if not matches else 'more than one'} microphone {wanted!r}; see --list-devices")
    return matches[0]


class Microphone:
    """An open microphone that hands over int16 mono at 48 kHz; use it in a `with` block.

    Raises RecordingError where there is none.
    """

    def __init__(self, wanted: str | None):
        import miniaudio

        found = microphones()  # also for the default one: where there is no other, it would be ALSA's null device
        device_id = choose(found, wanted)["id"] if wanted else None
        try:
            with quiet_libraries():
                self.device = miniaudio.CaptureDevice(
                    nchannels=1,
                    sample_rate=SAMPLE_RATE,
                    buffersize_msec=20,
                    device_id=device_id,
                    backends=backends(),
                    app_name="record_wav",
                )
        except miniaudio.MiniaudioError:
            raise RecordingError("no microphone or sound server found, or it may not be used") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.device.close()

    def record(self, n_samples: int, on_progress) -> np.ndarray:
        """int16 samples, shape (n_samples,). `on_progress(samples so far, newest int16 samples)` is called meanwhile.

        Raises RecordingError where the microphone stops sending.
        """
        import miniaudio

        chunks: list[bytes] = []

        def collect():
            while True:
                chunks.append(bytes((yield)))

        collector = collect()
        next(collector)
        try:
            self.device.start(collector)
        except miniaudio.MiniaudioError:
            raise RecordingError("the microphone cannot be started") from None
        try:
            seen, n_recorded, heard = 0, 0, time.monotonic()
            while n_recorded < n_samples:
                time.sleep(0.02)
                new = chunks[seen:]
                if new:
                    newest = np.frombuffer(b"".join(new), dtype=np.int16)
                    seen, n_recorded, heard = seen + len(new), n_recorded + len(newest), time.monotonic()
                    on_progress(n_recorded, newest)
                elif time.monotonic() - heard > PATIENCE:
                    raise RecordingError("the microphone sends no sound")
        finally:
            with quiet_libraries():
                self.device.stop()
        return np.frombuffer(b"".join(chunks), dtype=np.int16)[:n_samples]
