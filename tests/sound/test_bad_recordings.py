"""The table of bad recordings: each gives the right answer or one line with the reason, wherever it turns up."""

import functools
import io
import json
import os
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import buzz
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import classify_wavs
from speaker_gender.classifying.classifier import SHIPPED_MODEL, Classifier
from speaker_gender.config import RECORDING_SAMPLES, ROOT
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.images.generation import generate_images
from speaker_gender.images.maps import load_maps
from speaker_gender.images.views import VIEWS
from speaker_gender.learning.dataset import available_images
from speaker_gender.sound.reading import AudioError, printable, read_header, read_pieces, read_signal
from speaker_gender.sound.speech import speech_windows, why_not_speech
from studies import generate_images as program

RATE = 48_000
WORD = np.round(32_768 * buzz(120, seconds=0.5, sample_rate=RATE, seed=0)).astype("<i2")  # what good files hold


def wav(sound=WORD, *, rate=RATE, channels=1, size=None, code=1, order="<") -> bytes:
    """A WAV, whose header may lie. size: bytes of sound that it tells of; code: 1 integers, 3 floats."""
    sound = sound.astype(sound.dtype.newbyteorder(order))
    width = sound.itemsize
    form = struct.pack(f"{order}HHIIHH", code, channels, rate, rate * width & 0xFFFFFFFF, width, 8 * width)
    size = sound.nbytes if size is None else size
    chunks = b"WAVEfmt " + struct.pack(f"{order}I", len(form)) + form
    chunks += b"data" + struct.pack(f"{order}I", size) + sound.tobytes()
    return (b"RIFF" if order == "<" else b"RIFX") + struct.pack(f"{order}I", len(chunks)) + chunks


def encoded(container: str, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, WORD, RATE, format=container, subtype=subtype)
    return file.getvalue()


def floats(value: float) -> bytes:
    sound = WORD / 32_768
    sound[10_000] = value
    return wav(sound, code=3)


NO_SOUND_FILE = "is not a sound file of a known format"
REFUSED = {  # what the file holds, the reason
    "empty": (b"", "is empty"),
    "half a header": (wav()[:30], "looks like: Waveform"),
    "header only": (wav()[:44], "holds no sound"),
    "truncated": (wav()[:20_000], "is cut short"),
    "FLAC cut in half": (encoded("FLAC", "PCM_16")[:10_000], "is cut short"),
    "MP3 cut in half": (encoded("MP3", "MPEG_LAYER_III")[:2_000], "is cut short"),
    "size far too large": (wav(size=10 * WORD.nbytes), "is cut short"),
    "no samples": (wav(WORD[:0]), "holds no sound"),
    "no channels": (wav(channels=0), "no channels"),
    "100 channels": (wav(channels=100), "100 channels"),
    "65,535 channels": (wav(channels=65_535), "channels"),
    "0 Hz": (wav(rate=0), ""),
    "1 Hz": (wav(rate=1), "no sample rate"),
    "2 GHz": (wav(rate=2_000_000_000), "no sample rate"),
    "4 GHz": (wav(rate=4_000_000_000), ""),
    "not a number": (floats(np.nan), "not finite"),
    "infinity": (floats(-np.inf), "not finite"),
    "int16 values as floats": (floats(32_767), "far outside"),
    "huge floats": (floats(1e300), "far outside"),
    "text": (b"this is no sound\n" * 100, "is text, not sound"),
    "zeros": (bytes(10_000), NO_SOUND_FILE),
    "noise": (np.random.default_rng(0).bytes(10_000), NO_SOUND_FILE),
}
READ = {  # what the file holds, samples of WORD that come back
    "size zero, as a recorder that crashed leaves it": (wav(size=0), len(WORD)),
    "size of a stream": (wav(size=0xFFFFFFFF), len(WORD)),
    "another size of a stream": (wav(size=0x7FFFF000), len(WORD)),
    "size a little too large": (wav(size=WORD.nbytes + 44), len(WORD)),
    "odd size": (wav(size=WORD.nbytes - 1), len(WORD) - 1),
    "big-endian (RIFX)": (wav(order=">"), len(WORD)),
    "RF64": (encoded("RF64", "PCM_16"), len(WORD)),
    "FLAC named .wav": (encoded("FLAC", "PCM_16"), len(WORD)),
}
MP3 = encoded("MP3", "MPEG_LAYER_III")


def one_line_naming(path: Path, reason: str, *, read=read_signal) -> None:
    with pytest.raises(AudioError) as error:
        read(path)
    message = str(error.value)
    assert message == f"{printable(path)}: {error.value.problem}" and message.isprintable()
    assert reason in error.value.problem and len(error.value.problem) > 5


# --- one file


@pytest.mark.parametrize("content, reason", REFUSED.values(), ids=REFUSED)
def test_a_bad_file_is_one_line_that_names_it(tmp_path, content, reason):
    path = tmp_path / "sound.wav"
    path.write_bytes(content)
    one_line_naming(path, reason)


@pytest.mark.parametrize("content, n_samples", READ.values(), ids=READ)
def test_a_strange_file_is_read_right(tmp_path, content, n_samples):
    path = tmp_path / "sound.wav"
    path.write_bytes(content)
    np.testing.assert_array_equal(read_signal(path), WORD[:n_samples])
    assert read_header(path)[:2] == (n_samples, RATE)


def test_an_mp3_named_wav_is_read_as_what_it_is(tmp_path):
    path = tmp_path / "sound.wav"
    path.write_bytes(MP3)
    assert np.corrcoef(read_signal(path)[: len(WORD)], WORD)[0, 1] > 0.99


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff", "raw", "txt"])
def test_text_is_no_sound_whatever_its_name(tmp_path, suffix):
    path = tmp_path / f"sound.{suffix}"
    path.write_bytes(REFUSED["text"][0])
    one_line_naming(path, "is text, not sound")


def make_no_files(folder: Path) -> dict[str, str]:
    """Puts what is no file into a folder: name → reason."""
    (folder / "folder.wav").mkdir()
    (folder / "dangling.wav").symlink_to(folder / "nowhere.wav")
    (folder / "loop.wav").symlink_to(folder / "loop.wav")
    reasons = {"folder.wav": "is a folder", "dangling.wav": "No such file", "loop.wav": "cannot be opened"}
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.wav")
        reasons["pipe.wav"] = "not a regular file"
    return reasons


@pytest.mark.skipif(os.name == "nt", reason="links and modes are others on Windows")
def test_what_is_no_file_is_one_line_too(tmp_path):
    for name, reason in make_no_files(tmp_path).items():
        one_line_naming(tmp_path / name, reason)
        one_line_naming(tmp_path / name, reason, read=read_header)


@pytest.mark.skipif(os.name == "nt", reason="modes are others on Windows")
def test_a_file_that_may_not_be_read_says_so(tmp_path):
    path = tmp_path / "sound.wav"
    path.write_bytes(wav())
    path.chmod(0)
    user = os.geteuid()
    if user == 0:  # who may read everything, is nobody for a while
        os.seteuid(65_534)
    try:
        one_line_naming(path, "Permission denied")
    finally:
        os.seteuid(user)


# --- large files


def sparse_wav(path: Path, *, seconds: int, rate: int) -> None:
    """Silence that takes no room on the disk."""
    with open(path, "wb") as file:
        file.write(wav(WORD[:0], rate=rate, size=2 * seconds * rate))
        file.truncate(44 + 2 * seconds * rate)


@pytest.mark.slow
def test_more_than_twelve_hours_are_refused_at_once_and_two_gigabytes_are_not(tmp_path):
    sparse_wav(tmp_path / "sound.wav", seconds=12 * 3_600 + 1, rate=8_000)
    for read in (read_header, read_signal):
        one_line_naming(tmp_path / "sound.wav", "longer than 12 hours", read=read)
    sparse_wav(tmp_path / "sound.wav", seconds=22_000, rate=48_000)
    assert read_header(tmp_path / "sound.wav") == (22_000 * 48_000, 48_000, "PCM_16")
    one_line_naming(tmp_path / "sound.wav", "longer than 300 seconds")


def test_many_channels_at_a_high_rate_for_long_are_refused_at_once(tmp_path):
    path, size = tmp_path / "sound.wav", 16 * 192_000 * 1_390
    with open(path, "wb") as file:
        file.write(wav(np.zeros(0, "u1"), rate=192_000, channels=16, size=size))
        file.truncate(44 + size)
    for read in (read_header, read_signal):
        one_line_naming(path, "too much sound", read=read)


@pytest.mark.slow
def test_memory_does_not_grow_with_a_recordings_length(tmp_path):
    sparse_wav(tmp_path / "sound.wav", seconds=1_800, rate=8_000)  # as one signal 690 MB
    tracemalloc.start()
    n_samples = sum(len(piece) for piece in read_pieces(tmp_path / "sound.wav"))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n_samples == 1_800 * RATE and most < 400e6


# --- the command line


@pytest.fixture
def stub(monkeypatch):
    """A classifier that hears women everywhere, in place of the project's own."""
    classifier = Classifier(
        Path("stub"), {"image_size": [112, 30]}, VIEWS["harmonic"], lambda images, mels: np.full(len(images), 0.9)
    )
    monkeypatch.setattr("speaker_gender.classifying.classifier.load_classifier", lambda path: classifier)
    monkeypatch.setattr("speaker_gender.classifying.classifier.default_model", lambda: Path("stub"))


def make_all_kinds(folder: Path) -> dict[str, str | None]:
    """Puts the whole table into a folder: name → reason, None where the file can be read."""
    reasons = make_no_files(folder) if os.name != "nt" else {}
    for kind, (content, reason) in REFUSED.items():
        reasons[f"{kind}.wav"] = reason
        (folder / f"{kind}.wav").write_bytes(content)
    for kind, (content, _) in READ.items():
        reasons[f"{kind}.wav"] = None
        (folder / f"{kind}.wav").write_bytes(content)
    return reasons


def test_the_command_line_answers_each_file_or_says_why_not(stub, tmp_path, capsys):
    reasons = make_all_kinds(tmp_path)
    reasons.pop("folder.wav", None)  # it is searched through
    assert classify_wavs.main([str(tmp_path), "--json"]) == 1
    answers = {Path(answer["file"]).name: answer for answer in map(json.loads, capsys.readouterr().out.splitlines())}
    assert answers.keys() == reasons.keys()
    for name, reason in reasons.items():
        if reason is None:
            assert answers[name]["gender"] == "female" and answers[name]["reason"] is answers[name]["warning"] is None
        elif reason == "is cut short":  # classified as far as it goes
            assert answers[name]["gender"] == "female" and reason in answers[name]["warning"]
        else:
            assert answers[name]["gender"] is None and reason in answers[name]["reason"]
    assert classify_wavs.main([str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == len(reasons) and "Traceback" not in out + err


NAMES = [
    "with space",
    'it\'s "quoted"',
    "-dash",
    "--json",
    "ünïcödé 声",
    "new\nline",
    "tab\tand\x1b[31mred",
    "\udcff\udcfe",
]


def make_names(folder: Path) -> list[Path]:
    made = []
    for name in NAMES:
        try:
            (folder / f"{name}.wav").write_bytes(wav())
            made.append(folder / f"{name}.wav")
        except OSError:  # not every file system takes every name
            pass
    return sorted(made)


@pytest.mark.skipif(os.name == "nt", reason="Windows allows few of these names")
def test_any_name_is_one_line_in_the_table_and_itself_in_json(stub, tmp_path, capsys):
    paths = make_names(tmp_path)
    assert classify_wavs.main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(paths) and all(line.isprintable() for line in lines)
    assert classify_wavs.main([str(tmp_path), "--json"]) == 0
    assert [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()] == [str(path) for path in paths]


@pytest.mark.skipif(os.name == "nt", reason="another shell")
def test_answers_that_nobody_reads_any_more_end_without_a_word(tmp_path):
    for number in range(40):
        (tmp_path / f"{number}.wav").write_bytes(REFUSED["text"][0])
    command = [sys.executable, ROOT / "scripts" / "classify_wavs.py", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        program.stdout.readline()
        program.stdout.close()
        assert not program.stderr.read().strip()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device here that is always full")
@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]], ids=str)
def test_answers_that_cannot_be_written_are_one_line(tmp_path, form):
    (tmp_path / "text.wav").write_bytes(REFUSED["text"][0])
    command = [sys.executable, ROOT / "scripts" / "classify_wavs.py", tmp_path, *form]
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
    assert ran.returncode == 1 and ran.stderr == "The answers cannot be written (No space left on device)\n"


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only Linux lists a process's open files")
def test_ctrl_c_ends_it_at_once_and_without_a_traceback(tmp_path):
    sparse_wav(tmp_path / "0.wav", seconds=7_200, rate=48_000)  # takes long
    command = [sys.executable, ROOT / "scripts" / "classify_wavs.py", tmp_path]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    default = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
    with subprocess.Popen(command, **streams, start_new_session=True, preexec_fn=default) as program:
        opened = Path(f"/proc/{program.pid}/fd")
        while not any(os.path.realpath(one).endswith("/0.wav") for one in opened.iterdir()):
            time.sleep(0.01)
        os.killpg(program.pid, signal.SIGINT)
        out, err = program.communicate(timeout=300)
    assert program.returncode == 130 and err == "\nStopped\n" and not out


def test_a_leading_dash_is_a_name_after_two_dashes(stub, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("-dash.wav").write_bytes(wav())
    assert classify_wavs.main(["--", "-dash.wav"]) == 0
    assert capsys.readouterr().out.startswith("-dash.wav: female")


@pytest.mark.slow
@pytest.mark.skipif(not SHIPPED_MODEL.exists(), reason="the shipped model is not there")
def test_a_real_run_is_one_line_a_file_in_a_terminal_that_takes_only_utf8(tmp_path):
    paths = make_names(tmp_path) if os.name != "nt" else []
    (tmp_path / "text.wav").write_bytes(REFUSED["text"][0])
    (tmp_path / "damaged.mp3").write_bytes(MP3[:400] + b"\xaa" * 5_000)  # libmpg123 has several lines to say of it
    ran = subprocess.run(
        [sys.executable, ROOT / "scripts" / "classify_wavs.py", tmp_path],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        timeout=300,
    )
    assert ran.returncode == 1 and not ran.stderr.strip()
    assert len(ran.stdout.decode().splitlines()) == len(paths) + 2


# --- a corpus


@pytest.fixture
def bad_corpus(buzz_corpus):
    """The buzz corpus with the whole table among the recordings of speaker 01; and path → reason."""
    folder = buzz_corpus.folder / "01"
    kinds, reasons = folder.parent / ".kinds", {}
    kinds.mkdir()
    for number, (name, reason) in enumerate(make_all_kinds(kinds).items()):
        path = f"01/{3 + number // 10}_01_{number % 10}.wav"
        (kinds / name).rename(buzz_corpus.folder / path)
        reasons[path] = reason
    return buzz_corpus, reasons


def test_generation_lists_what_it_skips_and_does_the_rest(bad_corpus):
    corpus, reasons = bad_corpus
    report = generate_images(corpus, load_recordings(corpus), n_jobs=1)
    bad = {path: reason for path, reason in reasons.items() if reason is not None}
    assert report["skipped"].keys() == bad.keys()
    assert all(reason in report["skipped"][path] for path, reason in bad.items())
    assert report["made"] == 24 + len(reasons) - len(bad) and report["missing"] == 0
    assert json.loads(corpus.skipped.read_text(encoding="utf-8")) == report["skipped"]


def test_training_refuses_a_corpus_that_lost_more_than_it_is_told_to_accept(bad_corpus, monkeypatch):
    corpus, reasons = bad_corpus
    generate_images(corpus, load_recordings(corpus), n_jobs=1)
    n_lost = sum(reason is not None for reason in reasons.values())
    for accepted in (None, "0", str(n_lost - 1)):
        if accepted is not None:
            monkeypatch.setenv("ACCEPT_LOST", accepted)
        with pytest.raises(CorpusError, match=f"{n_lost} recordings .*skipped.json .* ACCEPT_LOST={n_lost}") as error:
            available_images(corpus, load_maps(corpus))
        assert str(error.value).isprintable()
    monkeypatch.setenv("ACCEPT_LOST", str(n_lost))
    assert len(available_images(corpus, load_maps(corpus))) == 24 + len(reasons) - n_lost
    monkeypatch.setenv("ACCEPT_LOST", "many")
    with pytest.raises(CorpusError, match="ACCEPT_LOST=many: should be a number"):
        available_images(corpus, load_maps(corpus))


def test_an_image_of_a_recording_that_was_never_made_is_lost_too(buzz_corpus):
    generate_images(buzz_corpus, load_recordings(buzz_corpus), n_jobs=1)
    (buzz_corpus.images / "male_3.jpg").unlink()
    with pytest.raises(CorpusError, match="1 recordings have no image"):
        available_images(buzz_corpus, load_maps(buzz_corpus))


def test_the_image_of_a_recording_that_broke_later_is_lost_and_back_when_it_is_repaired(buzz_corpus):
    generate_images(buzz_corpus, load_recordings(buzz_corpus), n_jobs=1)
    path = buzz_corpus.folder / "01" / "0_01_0.wav"
    content = path.read_bytes()
    path.write_bytes(content[:500])
    generate_images(buzz_corpus, load_recordings(buzz_corpus), n_jobs=1)
    with pytest.raises(CorpusError, match="ACCEPT_LOST=1"):
        available_images(buzz_corpus, load_maps(buzz_corpus))
    path.write_bytes(content)
    assert generate_images(buzz_corpus, load_recordings(buzz_corpus), n_jobs=1)["skipped"] == {}
    assert len(available_images(buzz_corpus, load_maps(buzz_corpus))) == 24


def test_generations_exit_status_says_whether_all_was_read(buzz_corpus, monkeypatch, capsys):
    monkeypatch.setenv("CORPUS", str(buzz_corpus.folder))
    monkeypatch.setattr(sys, "argv", ["generate_images.py"])
    assert program.main() == 0
    (buzz_corpus.folder / "01" / "0_01_0.wav").write_bytes(b"")
    capsys.readouterr()
    assert program.main() == 1
    assert capsys.readouterr().err.endswith(f"{buzz_corpus.folder / '01' / '0_01_0.wav'}: skipped, is empty\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows allows few of these names")
@pytest.mark.parametrize(
    "speaker", ["o'brien", 'the "voice"', "-x", "anna b", "ünï", "new\nline", "\x1b[31m", "\udcff"]
)
def test_a_speaker_of_any_name_is_read_or_refused_in_one_line(buzz_corpus, speaker):
    try:
        (buzz_corpus.folder / "01").rename(buzz_corpus.folder / speaker)
    except OSError:
        pytest.skip("this file system does not take the name")
    for path in sorted((buzz_corpus.folder / speaker).iterdir()):
        path.rename(path.with_name(path.name.replace("_01_", f"_{speaker}_")))
    metadata = buzz_corpus.folder / "audioMNIST_meta.txt"
    told = json.loads(metadata.read_text())
    metadata.write_text(json.dumps(told | {speaker: told.pop("01")}))
    if speaker.isprintable():
        assert generate_images(buzz_corpus, load_recordings(buzz_corpus), n_jobs=1)["made"] == 24
        assert speaker in set(load_maps(buzz_corpus)["speaker"])
    else:
        with pytest.raises(CorpusError, match="rename or remove it") as error:
            load_recordings(buzz_corpus)
        assert str(error.value).isprintable()


# --- whatever the bytes


few = functools.partial(settings, deadline=None, derandomize=True, database=None)
in_one_folder = [HealthCheck.function_scoped_fixture]  # each example overwrites the last one's file


def is_read_or_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        signal = read_signal(path)
    except AudioError as error:
        assert str(error).isprintable() and str(error).startswith(f"{path}: ")
    else:
        assert signal.dtype == np.float64 and signal.ndim == 1 and len(signal) and np.isfinite(signal).all()


@few(max_examples=60, suppress_health_check=in_one_folder)
@given(content=st.binary(max_size=3_000), magic=st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS", b"ID3\3", b"FORM"]))
def test_any_bytes_are_a_signal_or_one_line(tmp_path, magic, content):
    is_read_or_refused(tmp_path / "sound.wav", magic + content)


@few(max_examples=100, suppress_health_check=in_one_folder)
@given(
    rate=st.integers(0, 2**32 - 1) | st.sampled_from([8_000, 44_100, 48_000]),
    channels=st.integers(0, 2**16 - 1) | st.integers(0, 3),
    size=st.integers(0, 2**32 - 1) | st.integers(0, 5_000),
    code=st.sampled_from([0, 1, 2, 3, 6, 7, 17, 80, 85, 0xFFFE]),
    dtype=st.sampled_from(["u1", "<i2", "<i4", "<f4", "<f8"]),
    order=st.sampled_from("<>"),
    content=st.binary(max_size=4_000),
)
def test_any_header_is_a_signal_or_one_line(tmp_path, rate, channels, size, code, dtype, order, content):
    sound = np.frombuffer(content[: len(content) // 8 * 8], dtype)
    made = wav(sound, rate=rate, channels=channels, size=size, code=code, order=order)
    is_read_or_refused(tmp_path / "sound.wav", made)


@few(max_examples=100, suppress_health_check=in_one_folder)
@given(
    content=st.sampled_from(
        [wav(), encoded("FLAC", "PCM_16"), encoded("OGG", "VORBIS"), MP3, encoded("AIFF", "PCM_16")]
    ),
    changes=st.lists(st.tuples(st.integers(0, 400) | st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    stop=st.integers(0, 60_000),
)
def test_any_damage_is_a_signal_or_one_line(tmp_path, content, changes, stop):
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    is_read_or_refused(tmp_path / "sound.wav", bytes(damaged[:stop]))


@pytest.mark.slow
@few(max_examples=40)
@given(
    words=st.lists(st.tuples(st.floats(0.05, 2), st.floats(60, 400), st.floats(0, 30_000)), max_size=4),
    pause=st.floats(0, 1),
    noise=st.floats(0, 3_000),
)
def test_windows_lie_in_order_inside_any_signal_and_there_are_some_where_there_is_speech(words, pause, noise):
    rate, gap = 16_000, np.zeros(round(pause * 16_000))
    parts = [gap]
    for seconds, pitch, level in words:
        parts += [level * buzz(pitch, seconds=seconds, sample_rate=rate, seed=0), gap]
    signal = np.concatenate(parts)
    signal += np.random.default_rng(0).normal(0, noise, len(signal))
    windows = speech_windows(signal, sample_rate=rate)
    edges = [edge for window in windows for edge in (window.start, window.start + len(window.signal))]
    assert edges == sorted(edges) and all(0 <= edge <= len(signal) for edge in edges)
    assert all(0 < len(window.signal) <= RECORDING_SAMPLES * rate // RATE for window in windows)
    assert bool(windows) == (why_not_speech(signal, sample_rate=rate) is None)


@few(max_examples=200)
@given(name=st.text() | st.binary().map(os.fsdecode))
def test_any_name_is_printable_in_the_end(name):
    assert printable(name).isprintable() and (printable(name) == name or not name.isprintable())
    printable(name).encode()
