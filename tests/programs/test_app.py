"""The page: what it says of a recording, and the whole of it in headless Chromium, on a phone and on a desktop."""

import base64
import itertools
import json
import os
import shutil
import signal as signals
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import soundfile
import websocket
from PIL import Image

pytest.importorskip("gradio", reason="gradio is not installed: the page was not tried")

import app
from speaker_gender.classifying.classification import classify_recording
from speaker_gender.classifying.classifier import default_model, load_classifier
from speaker_gender.classifying.timeline import Stretch
from speaker_gender.config import ROOT, SAMPLE_RATE
from speaker_gender.learning.model_files import ModelError
from speaker_gender.showing import page as page_module
from speaker_gender.sound.reading import read_signal

SCRIPT = ROOT / "scripts" / "app.py"
VOICES = ROOT / "nbs" / "my_wavs"
FEMALE, MALE = VOICES / "synthetic_female_seven.wav", VOICES / "synthetic_male_nine.wav"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
PATIENCE = 120  # seconds: other work may hold the machine up


@pytest.fixture(scope="module")
def classifier():
    return load_classifier(default_model())


# --- what is said of one recording


def test_the_answer_is_the_classifiers_and_every_part_is_there(classifier):
    result = page_module.analyse(classifier, FEMALE, name="seven.wav")
    expected = classify_recording(classifier, FEMALE)
    assert (result.answer.gender, result.answer.p_female) == (expected.gender, expected.p_female)
    assert result.answer.windows == 1
    assert result.sound.startswith("<svg") and result.look.image.startswith("<svg")
    assert page_module.sentence(result).startswith("seven.wav: female (female ")


def test_a_higher_voice_has_a_higher_median_pitch(classifier):
    female, male = (page_module.analyse(classifier, path, name="x").look.median_pitch for path in (FEMALE, MALE))
    assert 60 < male < 165 < female < 420


@pytest.mark.parametrize(
    "sound, reason",
    [
        (np.zeros(SAMPLE_RATE), "silent"),
        (np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE), "no speech was found"),
        (np.zeros(SAMPLE_RATE // 50), "hardly any speech"),
        pytest.param(np.zeros(3_601 * 4_000), "longer than an hour", marks=pytest.mark.slow),
        (None, "is text, not sound"),
    ],
)
def test_without_an_answer_one_sentence_says_why(classifier, tmp_path, sound, reason):
    path = tmp_path / "x.wav"
    if sound is None:
        path.write_text("not sound")
    else:
        soundfile.write(path, sound, 4_000 if len(sound) > 3_600 * 4_000 else SAMPLE_RATE)
    result = page_module.analyse(classifier, path, name="x.wav")
    assert result.answer.gender is None and not result.look
    assert (
        reason in result.answer.reason
        and "\n" not in result.answer.reason
        and str(tmp_path) not in page_module.card(result)
    )
    assert result.answer.reason.endswith((".", "?", ")"))
    assert page_module.sentence(result).startswith("No answer for x.wav: ")


@pytest.fixture
def dialogue(tmp_path):
    """Four words of a woman's and four of a man's, synthetic, with pauses; 10 s."""
    pause, parts = np.zeros(round(0.6 * SAMPLE_RATE)), []
    for path in (FEMALE, MALE):
        word = read_signal(path)
        parts += [word / np.abs(word).max() / 4, pause] * 4
    soundfile.write(tmp_path / "dialogue.wav", np.concatenate(parts), SAMPLE_RATE)
    return tmp_path / "dialogue.wav"


def test_of_two_voices_it_shows_who_speaks_when_and_looks_where_it_is_told(classifier, dialogue):
    result = page_module.analyse(classifier, dialogue, name="dialogue.wav")
    assert result.answer.answer == "mixed" and "female" in page_module.in_words(result.answer)
    assert "who speaks when: female 0.0" in page_module.card(result)
    assert result.look.stop < 2, "the first word"
    look = page_module.closer_look(classifier, dialogue, result.answer, at=9)
    assert look.start > 5 and look.p_female < 0.5 < result.look.p_female


def test_a_file_that_is_cut_off_is_answered_with_a_warning_and_so_is_its_player(classifier, tmp_path):
    sound = np.tile(np.pad(read_signal(FEMALE) / 32_768, (0, SAMPLE_RATE)), 45)  # over a minute
    soundfile.write(tmp_path / "x.wav", sound, SAMPLE_RATE)
    (tmp_path / "x.wav").write_bytes((tmp_path / "x.wav").read_bytes()[:-400_000])
    result = page_module.analyse(classifier, tmp_path / "x.wav", name="x.wav")
    assert result.answer.gender == "female" and result.answer.warning.startswith("is cut short") and result.look
    assert page_module.closer_look(classifier, tmp_path / "x.wav", result.answer, at=50).p_female > 0.5


def test_of_a_call_each_channel_is_answered_and_looked_at(classifier, tmp_path):
    words = [np.pad(read_signal(path) / 32_768, (0, SAMPLE_RATE // 2)) for path in (FEMALE, MALE)]
    call = np.zeros((8 * max(map(len, words)), 2))
    for channel, word in enumerate(words):
        repeated = np.tile(word / np.abs(word).max() / (3, 50)[channel], 3)
        call[channel * len(call) // 2 :][: len(repeated), channel] = repeated
    soundfile.write(tmp_path / "call.wav", call, SAMPLE_RATE)
    result = page_module.analyse(classifier, tmp_path / "call.wav", name="call.wav")
    assert result.answer.answer == "mixed"
    late = len(call) / SAMPLE_RATE * 0.6
    assert page_module.closer_look(classifier, tmp_path / "call.wav", result.answer, at=late).p_female < 0.5


def test_a_window_lies_in_the_nearest_stretch():
    timeline = (Stretch(1, 1.5, "male", 0.1), Stretch(4, 9, "female", 0.9))
    assert page_module.window_near(timeline, 0) == (1, 1.5, None)
    assert page_module.window_near(timeline, 8.9)[1] == pytest.approx(9)
    start, stop, _ = page_module.window_near(timeline, 6)
    assert (start + stop) / 2 == pytest.approx(6) and 0.99 < stop - start < 1


@pytest.mark.slow
def test_a_recording_of_more_than_a_minute_is_played_from_a_file_that_goes_with_it(classifier, tmp_path):
    folder = page_module.UPLOADS / "of a test"
    folder.mkdir()
    word, pause = read_signal(FEMALE) / 32_768, np.zeros(SAMPLE_RATE)
    soundfile.write(folder / "sound.wav", np.concatenate([word, pause] * 40), SAMPLE_RATE)
    result = page_module.analyse(classifier, folder / "sound.wav", name="long.wav")
    assert result.player == f"/gradio_api/file={folder / 'played.mp3'}" and result.answer.windows >= 40
    assert abs(soundfile.info(folder / "played.mp3").duration - result.answer.seconds) < 0.2
    page_module.forget(result)
    assert not folder.exists()


def test_a_result_of_a_file_elsewhere_leaves_it_alone(classifier):
    page_module.forget(page_module.analyse(classifier, FEMALE, name="x"))
    assert FEMALE.exists()


def test_the_name_of_a_file_cannot_bring_html_into_the_page(classifier):
    name = '<img src=x onerror=alert(1)>".wav'
    result = page_module.analyse(classifier, FEMALE, name=name)
    assert "<img" not in page_module.card(result)


def test_the_kept_wav_is_the_recording_sample_for_sample_and_never_replaces_one(classifier, tmp_path):
    result = page_module.analyse(classifier, FEMALE, name="../seven.wav")
    paths = [page_module.keep(result, tmp_path / "my_wavs") for _ in range(3)]
    assert [path.name for path in paths] == ["seven.wav", "seven_2.wav", "seven_3.wav"]
    assert {path.parent for path in paths} == {tmp_path / "my_wavs"}
    np.testing.assert_array_equal(read_signal(paths[2]), read_signal(FEMALE))


def test_names_are_told_apart():
    assert page_module.unused_name("a.wav", set()) == "a.wav"
    assert page_module.unused_name("a.wav", {"a.wav", "a.wav (2)"}) == "a.wav (3)"


@pytest.mark.parametrize("probability, text", [(0.99999, "> 99.9%"), (0.5, "50.0%"), (1e-5, "< 0.1%")])
def test_no_certainty_is_claimed(probability, text):
    assert page_module.percent(probability) == text


def test_without_a_model_one_line_says_so(monkeypatch, capsys):
    def none():
        raise ModelError("there is no trained model yet")

    monkeypatch.setattr(app, "default_model", none)
    monkeypatch.setattr(app.signals, "signal", lambda *_: None)
    assert app.main(["--no-browser"]) == 1
    assert capsys.readouterr().err == "there is no trained model yet\n"


def test_a_taken_port_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(app.signals, "signal", lambda *_: None)
    with socket.socket() as taken:
        taken.bind((page_module.ADDRESS, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert app.main(["--no-browser", "--port", str(port)]) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and str(port) in errors


# --- the whole page


LISTENING = """
import runpy, sys
def watch(event, arguments):
    if event == "socket.connect" and not isinstance(arguments[1], str):
        print("connect", arguments[1][0], file=log, flush=True)
    elif event == "socket.getaddrinfo":
        print("look up", arguments[0], file=log, flush=True)
log = open(sys.argv[1], "w")
sys.argv = sys.argv[2:]
sys.path.insert(0, str(__import__("pathlib").Path(sys.argv[0]).parent))
sys.addaudithook(watch)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The program as a user starts it, with a workspace and a temporary folder of its own.

    Yields its address, that workspace, and a file with the hosts that it asked for.
    """
    folder = tmp_path_factory.mktemp("page")
    temporary, hosts = folder / "temporary", folder / "hosts.txt"
    temporary.mkdir()
    environment = os.environ | {"WORKSPACE": str(folder / "workspace"), "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", LISTENING, str(hosts), str(SCRIPT), "--no-browser"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().split()[0]
            assert list(temporary.glob("who_speaks_*"))
            yield address, folder, hosts
        finally:
            process.send_signal(signals.SIGTERM)
            process.wait(PATIENCE)
    assert process.returncode == 0 and not list(temporary.glob("who_speaks_*")), "temporary files are left"


class Tab:
    """One page in a headless Chromium of its own, driven through the DevTools protocol."""

    def __init__(self, folder: Path, *flags: str):
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={folder}"]
        command += ["--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", *flags, "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        opened = folder / "DevToolsActivePort"
        wait_for(lambda: opened.exists() and opened.read_text().count("\n"))
        port = opened.read_text().splitlines()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            target = next(target for target in json.load(answer) if target["type"] == "page")
        self.socket = websocket.create_connection(
            target["webSocketDebuggerUrl"], timeout=PATIENCE, suppress_origin=True
        )
        self.numbers, self.events = itertools.count(1), []
        for domain in ("Page", "Runtime", "Network", "Log", "DOM", "Accessibility"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters) -> dict:
        """Calls a method of the protocol; what happens meanwhile is kept in `events`."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def run(self, script: str):
        """The value of a JavaScript expression, as if a user had asked for it."""
        result = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def open(self, address: str, size: tuple[int, int], *, dark: bool = False) -> None:
        width, height = size
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Page.navigate", url=address)
        wait_for(lambda: self.run("!!document.querySelector('#status[aria-live]')"))

    def upload(self, *paths: Path) -> None:
        """Chooses files where the page takes them."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        found = self.send("DOM.querySelector", nodeId=root, selector="input[type=file]")
        self.send("DOM.setFileInputFiles", files=list(map(str, paths)), nodeId=found["nodeId"])

    def button(self, label: str) -> str:
        """The JavaScript expression for the first button with that text, once it is there and can be pressed."""
        buttons = "[...document.querySelectorAll('button')]"
        script = f"{buttons}.find(button => button.innerText.trim().startsWith({json.dumps(label)}))"
        wait_for(lambda: self.run(f"!!({script}) && !({script}).disabled"))
        return script

    def press(self, label: str) -> None:
        """Clicks the first button with that text."""
        self.run(f"({self.button(label)}).click()")

    def press_by_key(self, label: str) -> None:
        """Gives the first button with that text the focus, and presses Enter."""
        self.run(f"({self.button(label)}).focus()")
        for kind in ("keyDown", "keyUp"):
            enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
            self.send("Input.dispatchKeyEvent", type=kind, **enter)

    def text(self, selector: str) -> str:
        return self.run(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.innerText).join('\\n')")

    def wait_for_status(self, text: str) -> None:
        wait_for(lambda: text in self.text("#status"), lambda: f"{text!r}, but {self.text('#status')!r}")

    def screenshot(self, path: Path, *, most: int) -> None:
        """A PNG of the page, down to so many pixels at most."""
        height = min(self.run("document.documentElement.scrollHeight"), most)
        width = self.run("innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 0.5}
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(PATIENCE)


def wait_for(condition, problem=lambda: "") -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"did not come: {problem()}"
        time.sleep(0.2)


@pytest.fixture(scope="module", params=[("phone", FEMALE), ("desktop", MALE)], ids=["phone", "desktop"])
def browser(request, tmp_path_factory):
    """A tab that reaches nothing but this machine, its size, and the recording that its microphone hears in a loop."""
    if not CHROMIUM:
        pytest.skip("Chromium is not installed: the page was not tried in a browser")
    size, voice = request.param
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    flags += [f"--use-file-for-fake-audio-capture={voice}", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    tab = Tab(tmp_path_factory.mktemp("chromium"), *flags)
    yield tab, SIZES[size], voice
    tab.close()


def gender_of(voice: Path) -> str:
    return voice.stem.split("_")[1]


def record(tab: Tab) -> None:
    tab.press("Record")
    wait_for(lambda: "Stop" in tab.text("button"))
    time.sleep(1.5)
    tab.press("Stop")


def uploads(folder: Path) -> set[Path]:
    """The sound files that the page holds, of all its visitors."""
    return {path for path in folder.glob("temporary/who_speaks_*/**/*") if path.is_file() and path.stat().st_size}


@pytest.mark.slow
def test_what_is_said_into_the_microphone_is_answered(server, browser):
    address, folder, _ = server
    tab, size, voice = browser
    tab.open(address, size)
    before = uploads(folder)
    for n_cards in (1, 2):
        record(tab)
        wait_for(lambda: tab.run("document.querySelectorAll('.card h3').length") == n_cards)  # noqa: B023
        newest = tab.text(".card h3").splitlines()[0]
        assert newest.startswith("Recording ")
        tab.wait_for_status(f"{newest}: {gender_of(voice)} (female ")
    assert tab.text(".card .said").split() == 2 * [gender_of(voice)]
    tab.press("Delete all")
    wait_for(lambda: not tab.text(".card h3"))
    assert uploads(folder) <= before, "a recording that was deleted is left"


@pytest.mark.slow
def test_files_are_answered_side_by_side_kept_and_deleted(server, browser, tmp_path):
    address, folder, _ = server
    tab, size, voice = browser
    kept = folder / "workspace" / "nbs" / "my_wavs"
    tab.open(address, size)
    soundfile.write(tmp_path / "silence.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    (tmp_path / "notes.txt").write_text("not sound")
    (tmp_path / "again.wav").write_bytes(MALE.read_bytes())

    tab.upload(FEMALE)
    tab.wait_for_status(f"{FEMALE.name}: female (")
    tab.upload(MALE, tmp_path / "again.wav", tmp_path / "silence.wav", tmp_path / "notes.txt")
    tab.wait_for_status("No answer for notes.txt: is text, not sound")
    wait_for(lambda: tab.run("document.querySelectorAll('.card h3').length") == 5)
    names = tab.text(".card h3").splitlines()
    assert names == ["notes.txt", "silence.wav", "again.wav", MALE.name, FEMALE.name], "the newest comes first"
    assert "again.wav: male (" in tab.text("#status"), "a copy of another file"
    assert "Traceback" not in tab.text("body") and not tab.text("[data-testid=toast-body]")
    assert tab.run("document.documentElement.scrollWidth <= innerWidth"), "it is wider than the window"

    before = len(list(kept.glob("*.wav")))
    tab.press("Keep this recording")  # the first that has one is the silence
    tab.wait_for_status("silence.wav was kept as nbs/my_wavs/silence")
    assert len(list(kept.glob("*.wav"))) == before + 1
    tab.press("Delete notes.txt")
    tab.wait_for_status("notes.txt was deleted")
    wait_for(lambda: tab.text(".card h3").splitlines() == names[1:])
    tab.press("Delete all")
    wait_for(lambda: not tab.text(".card h3"))


@pytest.mark.slow
def test_a_sample_is_answered_at_one_click_and_a_dialogue_has_a_timeline(server, browser, dialogue):
    address, _, _ = server
    tab, size, _ = browser
    tab.open(address, size)
    tab.press(FEMALE.stem.replace("_", " "))
    tab.wait_for_status(f"{FEMALE.name}: female (")
    tab.upload(dialogue)
    tab.wait_for_status("dialogue.wav: mixed (female ")
    wait_for(lambda: tab.run("document.querySelectorAll('.card input[type=range]').length") == 1)
    assert tab.run("document.documentElement.scrollWidth <= innerWidth"), "it is wider than the window"
    tab.press("Delete all")
    wait_for(lambda: not tab.text(".card h3"))


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_is_pictured(server, browser, dark, dialogue, tmp_path):
    """With UPDATE_PNGS=1 the pictures that README shows are made anew."""
    address, _, _ = server
    tab, size, _ = browser
    tab.open(address, size, dark=dark)
    tab.press(FEMALE.stem.replace("_", " "))
    tab.wait_for_status(f"{FEMALE.name}: female (")
    tab.upload(dialogue)
    tab.wait_for_status("dialogue.wav: mixed (female ")
    wait_for(lambda: tab.run("document.querySelectorAll('.card svg').length") >= 4)
    folder = ROOT / "pngs" if os.environ.get("UPDATE_PNGS") else tmp_path
    picture = folder / f"page_{'phone' if size[0] < 500 else 'desktop'}_{'dark' if dark else 'light'}.png"
    beside = "[...document.querySelectorAll('#samples button')].every(button => button.offsetWidth > 100)"
    assert tab.run(beside), "a button is too narrow to read"
    narrow = "[...document.querySelectorAll('p')].filter(p => p.innerText.length > 10 && p.offsetWidth < 100).length"
    assert tab.run(narrow) == 0, "a text is too narrow to read"
    tab.screenshot(picture, most=1_500)
    with Image.open(picture) as image:
        assert image.width == size[0] and image.height == 1_500
        background = np.mean(image.convert("L").getpixel((5, 5)))
    assert background < 100 if dark else background > 150
    tab.press("Delete all")
    wait_for(lambda: not tab.text(".card h3"))


@pytest.mark.slow
def test_the_focus_moves_to_the_status_when_the_button_that_has_it_goes(server, browser):
    address, _, _ = server
    tab, size, voice = browser
    tab.open(address, size)
    tab.upload(voice)
    tab.wait_for_status(gender_of(voice))
    tab.press_by_key(f"Delete {voice.name}")
    tab.wait_for_status(f"{voice.name} was deleted")
    wait_for(lambda: tab.run("document.activeElement.id") == "status")


@pytest.mark.slow
def test_a_screen_reader_is_told_everything(server, browser):
    address, _, _ = server
    tab, size, voice = browser
    tab.open(address, size)
    tab.upload(voice)
    tab.wait_for_status(gender_of(voice))
    wait_for(lambda: tab.text(".card .said"))
    nodes = [node for node in tab.send("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes]
    nameless = [role for role, name in named if role in ("button", "combobox", "Audio", "heading") and not name]
    assert not nameless
    figures = [name for role, name in named if role == "image" and voice.name in name]
    assert (
        len(figures) == 3
        and "Waveform" in figures[0]
        and "Hz" in figures[1]
        and f"for the label {gender_of(voice)}" in figures[2]
    )
    assert [name for role, name in named if role == "heading"][0] == "Who speaks?"
    assert "status" in [role for role, _ in named] and ("Audio", f"Play {voice.name}") in named


@pytest.mark.slow
def test_nothing_is_asked_of_any_other_host(server, browser):
    address, _, hosts = server
    tab, size, voice = browser
    tab.events.clear()
    tab.open(address, size)
    record(tab)
    tab.wait_for_status(f": {gender_of(voice)} (")
    tab.upload(voice)
    tab.wait_for_status(voice.name)
    asked = [
        event["params"]["request"]["url"] for event in tab.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert len(asked) > 10
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    refused = [event["params"]["entry"]["text"] for event in tab.events if event["method"] == "Log.entryAdded"]
    assert not [text for text in refused if "Content Security Policy" in text]
    assert {line.split()[-1] for line in hosts.read_text().splitlines()} <= {page_module.ADDRESS, "None", "localhost"}


@pytest.mark.slow
def test_only_this_machine_is_served_under_its_own_name(server):
    address, _, _ = server
    with urllib.request.urlopen(address) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(urllib.request.Request(address, headers={"Host": "example.org"}))
