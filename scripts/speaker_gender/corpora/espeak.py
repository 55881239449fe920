"""Utterances by eSpeak NG, one voice a process.

    python -m speaker_gender.corpora.espeak < request.json

eSpeak NG keeps hidden state between utterances, so every speaker is synthesised by a fresh process: this module, which
imports little so that it starts quickly. Called by corpora.demo.
"""

import ctypes
import itertools
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

ESPEAK_SAMPLE_RATE = 22_050  # Hz
ESPEAK_RATE, ESPEAK_VOLUME, ESPEAK_PITCH = 1, 2, 3  # espeak_PARAMETER of speak_lib.h


def speak(request: dict) -> list[bytes]:
    """Synthesise a request's utterances with eSpeak NG; once per process, because the library keeps state.

    `request`: library and data (paths), accent, variant (text of a voice variant) and utterances (see
    demo.draw_utterance). Returns one signal an utterance: int16, mono, 22,050 Hz. Raises RuntimeError where eSpeak NG
    fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        # Copied because eSpeak NG fails where the path is longer than about 160 characters, as in a deep venv, and
        # because it reads variants from there (and stops finding voices among some hundreds of them).
        source, data = Path(request["data"]), Path(folder) / "espeak-ng-data"
        for name in ("phondata", "phonindex", "phontab", "intonations", "en_dict", f"lang/gmw/{request['accent']}"):
            (data / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, data / name)
        (data / "voices" / "!v").mkdir(parents=True)
        (data / "voices" / "!v" / "demo").write_text(request["variant"])

        espeak = ctypes.CDLL(request["library"])
        synchronous = 2  # AUDIO_OUTPUT_SYNCHRONOUS: to the callback, before espeak_Synth returns
        sample_rate = espeak.espeak_Initialize(synchronous, 0, os.fsencode(folder), 1 << 15)
        if sample_rate != ESPEAK_SAMPLE_RATE:
            raise RuntimeError(f"eSpeak NG did not start (sample rate {sample_rate}) on the data in {data}")
        if espeak.espeak_SetVoiceByName(f"gmw/{request['accent']}+demo".encode()):
            raise RuntimeError(f"eSpeak NG has no voice {request['accent']}")

        chunks: list[bytes] = []

        @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        def collect(samples, n_samples, events):
            if samples:
                chunks.append(ctypes.string_at(samples, 2 * n_samples))
            return 0

        espeak.espeak_SetSynthCallback(collect)
        espeak.espeak_SetParameter(ESPEAK_VOLUME, 40, 0)  # of 100: some voices clip at 100
        signals = []
        for text, rate, pitch, seed in request["utterances"]:
            chunks.clear()
            espeak.espeak_ng_SetRandSeed(ctypes.c_long(seed))
            espeak.espeak_SetParameter(ESPEAK_RATE, rate, 0)
            espeak.espeak_SetParameter(ESPEAK_PITCH, pitch, 0)
            encoded = text.encode() + b"\0"
            utf8 = 1
            espeak.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, 1, 0, utf8, None, None)
            signal = b"".join(chunks)
            if not any(signal):
                raise RuntimeError(f"eSpeak NG said nothing for {text!r}")
            signals.append(signal)
        espeak.espeak_Terminate()
    return signals


def packed(signals: list[bytes]) -> bytes:
    """Pack signals as a speaker's process returns them: a line with their lengths, then all of them."""
    return json.dumps([len(signal) for signal in signals]).encode() + b"\n" + b"".join(signals)


def unpacked(content: bytes) -> list[bytes]:
    """Unpack the signals of `packed`."""
    lengths, _, sound = content.partition(b"\n")
    ends = list(itertools.accumulate(json.loads(lengths)))
    return [sound[start:end] for start, end in zip([0, *ends[:-1]], ends)]


if __name__ == "__main__":
    sys.stdout.buffer.write(packed(speak(json.load(sys.stdin))))
