"""The recorder: its parts without a device, its errors without a sound server, and a whole run through PulseAudio."""

import argparse
import os
import shutil
import subprocess
import sys
import time
import types
import wave

import numpy as np
import pytest
import soundfile
from conftest import buzz

import record_wav
from record_wav import free_name, valid_name
from speaker_gender.config import ROOT, SAMPLE_RATE
from speaker_gender.corpora.demo import make_demo_corpus
from speaker_gender.sound import microphone
from speaker_gender.sound.microphone import MARGINS, RecordingError, centred, choose, level_meter, warning

SCRIPT = ROOT / "scripts" / "record_wav.py"


def spoken(start: float, *, seconds: float = 2.25, length: float = 0.5, level: float = 3_000) -> np.ndarray:
    """int16: faint noise with a vowel of `length` seconds from `start` on."""
    signal = np.random.default_rng(0).normal(0, 3, round(seconds * SAMPLE_RATE))
    voice = buzz(120, seconds=length, sample_rate=SAMPLE_RATE, seed=0) * np.hanning(round(length * SAMPLE_RATE))
    signal[round(start * SAMPLE_RATE) :][: len(voice)] += level * voice / np.abs(voice).max()
    return np.clip(np.round(signal), -32_768, 32_767).astype(np.int16)


@pytest.mark.parametrize("start", [0.3, 0.6, 0.9, 1.2, 1.4])
def test_speech_ends_up_in_the_middle_whether_it_was_early_or_late(start):
    signal = centred(spoken(start), SAMPLE_RATE, sample_rate=SAMPLE_RATE)
    energy = signal.astype(float) ** 2
    middle = np.sum(np.arange(len(signal)) * energy) / energy.sum() / SAMPLE_RATE
    assert len(signal) == SAMPLE_RATE and abs(middle - 0.5) < 0.1


@pytest.mark.parametrize("start", [0, 1.75])
def test_speech_at_the_edge_of_the_take_is_kept_whole(start):
    take = spoken(start)
    signal = centred(take, SAMPLE_RATE, sample_rate=SAMPLE_RATE).astype(float)
    assert np.sum(signal**2) > 0.999 * (np.sum(take.astype(float) ** 2) - 9 * len(take))


def test_speech_longer_than_the_recording_keeps_its_loudest_part():
    take = spoken(0.1, length=2)  # loudest at 1.1 s
    signal = centred(take, SAMPLE_RATE // 2, sample_rate=SAMPLE_RATE)
    start = next(i for i in range(len(take)) if np.array_equal(take[i : i + len(signal)], signal))
    assert abs(start / SAMPLE_RATE + 0.25 - 1.1) < 0.2


def test_without_speech_the_second_that_was_asked_for_is_kept():
    take = np.zeros(round((1 + sum(MARGINS)) * SAMPLE_RATE), np.int16)
    take[round(MARGINS[0] * SAMPLE_RATE)] = 7
    assert centred(take, SAMPLE_RATE, sample_rate=SAMPLE_RATE)[0] == 7


def test_the_level_meter_grows_with_the_level_and_keeps_its_length():
    meters = [level_meter(np.array([0, -peak], dtype=np.int16)) for peak in (0, 100, 1_000, 8_000, 32_768 - 1)]
    bars = [meter.count("#") for meter in meters]
    assert bars == sorted(set(bars)) and bars[0] == 0 and bars[-1] == 30
    assert len({len(meter) for meter in meters}) == 1
    assert "-12 dBFS" in meters[3]
    assert "   0 dBFS" in level_meter(np.array([-32_768], dtype=np.int16))
    assert level_meter(np.array([], dtype=np.int16)) == meters[0]


def test_silence_noise_and_clipping_are_warned_of_and_speech_is_not():
    assert warning(spoken(0.2, seconds=1), sample_rate=SAMPLE_RATE) is None
    assert "silent" in warning(np.arange(SAMPLE_RATE, dtype=np.int16) % 2, sample_rate=SAMPLE_RATE)
    assert "clipped" in warning(spoken(0.2, seconds=1, level=60_000), sample_rate=SAMPLE_RATE)
    noise = np.random.default_rng(0).normal(0, 1_000, SAMPLE_RATE).astype(np.int16)
    assert "no speech" in warning(noise, sample_rate=SAMPLE_RATE)


@pytest.mark.parametrize("name", ["seven", "seven.wav", "Zəhra_2", "my first one", "take-1.b", "7"])
def test_a_plain_name_is_taken(name):
    assert valid_name(name) == name.removesuffix(".wav")


@pytest.mark.parametrize(
    "name",
    ["", ".wav", ".hidden", "-x", "--force", "../x", "a/b", "a\\b", "/tmp/x", "C:x", "a\0b", "a\nb", "x.", "x" * 200],
)
def test_a_name_that_leads_elsewhere_is_not(name):
    with pytest.raises(argparse.ArgumentTypeError):
        valid_name(name)


def test_names_are_numbered_past_those_that_are_there(tmp_path):
    assert free_name(tmp_path / "new") == "recording_1"
    (tmp_path / "recording_1.wav").touch()
    assert free_name(tmp_path) == "recording_2"


def test_a_microphone_is_chosen_by_its_number_or_a_part_of_its_name():
    found = [{"name": "Built-in Audio"}, {"name": "USB Audio"}]
    assert choose(found, "2") is found[1] and choose(found, "built") is found[0]
    for wanted in ("3", "0", "audio", "bluetooth", ""):
        with pytest.raises(RecordingError):
            choose(found, wanted)


class FakeMicrophone:
    """Hands over the takes it is given, one after the other."""

    def __init__(self, *takes):
        self.takes = list(takes)

    def __call__(self, wanted):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def record(self, n_samples, on_progress):
        take = self.takes.pop(0)[:n_samples]
        on_progress(len(take), take)
        return take


@pytest.fixture
def studio(tmp_path, monkeypatch):
    """A recorder without device, waiting or project: takes go in, lines the person types too, the folder comes out."""
    monkeypatch.setattr(record_wav, "MY_WAVS", tmp_path / "my_wavs")
    monkeypatch.setattr(record_wav.time, "sleep", lambda seconds: None)

    def prepare(*takes, answers=(), terminal=True):
        answers = list(answers)
        monkeypatch.setattr(record_wav, "Microphone", FakeMicrophone(*takes))
        monkeypatch.setattr("builtins.input", lambda prompt: answers.pop(0))
        for stream in (sys.stdin, sys.stdout):
            monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
        return tmp_path / "my_wavs"

    return prepare


def test_a_recording_is_a_second_of_48_khz_mono_16_bit_after_a_countdown(studio, capsys):
    folder = studio(spoken(0.8))
    assert record_wav.main(["--name", "seven"]) == 0
    with wave.open(str(folder / "seven.wav")) as wav:
        assert wav.getparams()[:4] == (1, 2, 48_000, 48_000)
    said = capsys.readouterr().out
    assert said.index("3 …") < said.index("1 …") < said.index("Speak now!") < said.index("Recorded")
    assert [path.name for path in folder.iterdir()] == ["seven.wav"]


def test_a_recording_that_is_there_is_replaced_only_by_force(studio, capsys):
    folder = studio(spoken(0.8))
    folder.mkdir()
    (folder / "seven.wav").write_bytes(b"mine")
    assert record_wav.main(["--name", "seven"]) == 2
    assert (folder / "seven.wav").read_bytes() == b"mine"
    assert capsys.readouterr().err.count("\n") == 1
    assert record_wav.main(["--name", "seven", "--force"]) == 0
    assert len((folder / "seven.wav").read_bytes()) == 96_044


def test_after_a_silent_take_another_try_is_offered(studio, capsys):
    silent = np.zeros(round(2.25 * SAMPLE_RATE), np.int16)
    folder = studio(silent, spoken(0.8), answers=[""])
    assert record_wav.main(["--name", "seven"]) == 0
    assert np.abs(soundfile.read(folder / "seven.wav", dtype="int16")[0]).max() > 1_000
    assert capsys.readouterr().err.count("zeros") == 1
    folder = studio(silent, answers=["n"])
    assert record_wav.main(["--name", "eight"]) == 0
    assert (folder / "eight.wav").exists()


def test_without_a_terminal_nothing_is_asked(studio, capsys):
    folder = studio(np.zeros(round(2.25 * SAMPLE_RATE), np.int16), terminal=False)
    assert record_wav.main([]) == 0
    assert (folder / "recording_1.wav").exists() and "zeros" in capsys.readouterr().err


def test_classify_passes_the_file_on_and_its_exit_status_back(studio, monkeypatch):
    folder = studio(spoken(0.8))
    asked = []
    monkeypatch.setitem(
        sys.modules, "classify_wavs", types.SimpleNamespace(main=lambda files: asked.append(files) or 1)
    )
    assert record_wav.main(["--name", "seven", "--classify"]) == 1
    assert asked == [[str(folder / "seven.wav")]]


@pytest.mark.parametrize(
    "arguments", [["--name", "../x"], ["--seconds", "0"], ["--seconds", "nan"], ["--seconds", "x"], ["--loud"], ["x"]]
)
def test_wrong_usage_is_exit_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        record_wav.main(arguments)
    assert stop.value.code == 2


ALSA_NULL = "Discard all samples (playback) or generate zero samples (capture)"


def test_null_devices_and_monitors_are_no_microphones(monkeypatch):
    import miniaudio

    def device(name, identifier="alsa_input.usb"):
        device_id = miniaudio.ffi.new("ma_device_id *")
        miniaudio.ffi.buffer(device_id)[: len(identifier)] = identifier.encode()
        return {"name": name, "id": device_id}

    found = [
        device(ALSA_NULL),
        device("Monitor of Built-in Audio"),
        device("Moniteur de Audio interne", "alsa_output.pci.analog-stereo.monitor"),
        device("alsa_output.pci.analog-stereo.monitor"),
        device("Alle Samples verwerfen", "null"),
        device("Webcam C270 Mono"),
    ]
    devices = types.SimpleNamespace(get_captures=lambda: found)
    monkeypatch.setattr(miniaudio, "Devices", lambda backends: devices)
    assert [device["name"] for device in microphone.microphones()] == ["Webcam C270 Mono"]
    found[-1] = device(ALSA_NULL)
    for wanted in (None, "1"):
        with pytest.raises(RecordingError, match="no microphone"):
            microphone.Microphone(wanted)


@pytest.mark.parametrize("system, word", [("darwin", "macOS"), ("win32", "Windows"), ("linux", "alsamixer")])
def test_nothing_but_zeros_is_a_question_of_permission_or_mute(system, word):
    assert word in microphone.why_only_zeros(system)
    assert "nothing but zeros" in warning(np.zeros(SAMPLE_RATE, np.int16), sample_rate=SAMPLE_RATE)


# --- with and without a real sound server


def run(*arguments, environment):
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
    )


@pytest.fixture
def environment(tmp_path):
    """The environment of a user of one's own, without any sound server."""
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "home").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PULSE_", "DBUS_", "PIPEWIRE_"))}
    own = {"HOME": tmp_path / "home", "XDG_RUNTIME_DIR": tmp_path / "run", "WORKSPACE": tmp_path / "workspace"}
    return kept | {name: str(path) for name, path in own.items()}


ALSA = {  # configurations of ALSA; that of a desktop offers a device that sends zeros
    "without devices": "",
    "with a null device": """
        pcm.null { type null hint { show on
            description "Discard all samples (playback) or generate zero samples (capture)" } }
        pcm.!default { type null }
    """,
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a sound server can be hidden on Linux only")
@pytest.mark.skipif(os.path.exists("/dev/snd/controlC0"), reason="this machine has a sound card")
@pytest.mark.parametrize("alsa", ALSA)
@pytest.mark.parametrize("arguments", [["--list-devices"], ["--name", "seven"], ["--device", "usb"]], ids=" ".join)
def test_without_microphone_or_server_one_line_says_so(environment, tmp_path, arguments, alsa):
    (tmp_path / "alsa.conf").write_text(ALSA[alsa])
    result = run(*arguments, environment=environment | {"ALSA_CONFIG_PATH": str(tmp_path / "alsa.conf")})
    assert result.returncode == 1
    assert result.stderr.startswith("Cannot record: ") and result.stderr.count("\n") == 1
    assert not (tmp_path / "workspace").exists()


def digit(folder) -> np.ndarray:
    """int16 of a digit of the demo corpus, at the level of someone who speaks into the microphone."""
    path = sorted(make_demo_corpus(folder, n_speakers=1, n_repetitions=1).glob("*/7_*.wav"))[0]
    signal, _ = soundfile.read(path, dtype="int16")
    return np.round(signal * (8_000 / np.abs(signal).max())).astype(np.int16)


@pytest.fixture
def virtual_microphone(environment, tmp_path):
    """A PulseAudio server of its own whose default microphone hears a digit in a loop; yields one round of the loop."""
    if not all(shutil.which(program) for program in ("pulseaudio", "pactl", "paplay")):
        pytest.skip("PulseAudio is not installed: the recorder was not tried with a real sound server")
    silence = np.random.default_rng(0).integers(-3, 4, SAMPLE_RATE // 2).astype(np.int16)
    loop = np.concatenate([digit(tmp_path / "demo"), silence])
    soundfile.write(tmp_path / "loop.wav", np.tile(loop, 30), SAMPLE_RATE, subtype="PCM_16")
    server = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "-L", "module-native-protocol-unix"]
    server += ["-L", "module-null-sink sink_name=mic rate=48000 channels=1 format=s16le"]
    source = "module-remap-source master=mic.monitor source_name=real rate=48000 channels=1 format=s16le remix=no"
    server += ["-L", f"{source} source_properties=device.description=Microphone"]  # monitors are no microphones
    in_french = tmp_path / "in_french.pa"  # as a desktop in French describes it
    in_french.write_text('update-source-proplist mic.monitor device.description="Moniteur de Audio interne"\n')
    server += ["-F", str(in_french)]
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [subprocess.Popen(server, **quiet)]
    try:
        deadline = time.monotonic() + 120
        while subprocess.run(["pactl", "set-default-source", "real"], **quiet, check=False).returncode:
            assert time.monotonic() < deadline, "PulseAudio did not start"
            time.sleep(0.1)
        started.append(subprocess.Popen(["paplay", "--device=mic", str(tmp_path / "loop.wav")], **quiet))
        yield loop
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(timeout=300)


@pytest.mark.slow
def test_what_is_played_into_a_real_sound_server_is_recorded_sample_for_sample(
    virtual_microphone, environment, tmp_path
):
    listed = run("--list-devices", environment=environment)
    assert listed.returncode == 0 and listed.stdout == "1: Microphone\n"

    seconds = 2 * len(virtual_microphone) / SAMPLE_RATE  # so that a whole round lies inside
    result = run("--name", "seven", "--seconds", f"{seconds:.3f}", environment=environment)
    assert result.returncode == 0, result.stderr
    assert "Speak now!" in result.stdout and not result.stderr

    recorded, rate = soundfile.read(tmp_path / "workspace" / "nbs" / "my_wavs" / "seven.wav", dtype="int16")
    assert rate == SAMPLE_RATE and recorded.ndim == 1
    n_fft = len(recorded) + len(virtual_microphone)
    spectra = (np.fft.rfft(signal.astype(float), n_fft) for signal in (recorded, virtual_microphone))
    correlation = np.fft.irfft(next(spectra) * np.conj(next(spectra)), n_fft)
    at = int(np.argmax(correlation[: len(recorded) - len(virtual_microphone) + 1]))
    np.testing.assert_array_equal(recorded[at : at + len(virtual_microphone)], virtual_microphone)
