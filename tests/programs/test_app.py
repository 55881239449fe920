"""The page: what it says of a recording, whom it refuses, and the whole of it in headless Chromium."""

import asyncio
import io
import os
import re
import shutil
import signal as signals
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
import soundfile
from PIL import Image

pytest.importorskip("gradio", reason="gradio is not installed: the page was not tried")

import app
from speaker_gender.classifying.classification import classify_recording
from speaker_gender.classifying.classifier import default_model, load_classifier
from speaker_gender.classifying.timeline import Stretch
from speaker_gender.config import ROOT, SAMPLE_RATE
from speaker_gender.learning.model_files import ModelError
from speaker_gender.showing import analysis, guard
from speaker_gender.showing import page as page_module
from speaker_gender.showing.analysis import analyse, closer_look
from speaker_gender.sound.reading import read_signal

SCRIPT = ROOT / "scripts" / "app.py"
VOICES = ROOT / "nbs" / "my_wavs"
FEMALE, MALE = VOICES / "synthetic_female_seven.wav", VOICES / "synthetic_male_nine.wav"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 900}}
PATIENCE = 120  # seconds: other work may hold the machine up


@pytest.fixture(scope="module")
def classifier():
    return load_classifier(default_model())


# --- what is said of one recording


def test_the_answer_is_the_classifiers_and_every_part_is_there(classifier):
    result = analyse(classifier, FEMALE, name="seven.wav")
    expected = classify_recording(classifier, FEMALE)
    assert (result.answer.gender, result.answer.p_female) == (expected.gender, expected.p_female)
    assert result.answer.windows == 1 and result.look.picture.startswith("<svg")
    assert page_module.sentence(result).startswith("seven.wav: female (female ")


def test_a_higher_voice_has_a_higher_median_pitch(classifier):
    female, male = (analyse(classifier, path, name="x").look.median_pitch for path in (FEMALE, MALE))
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
    result = analyse(classifier, path, name="x.wav")
    assert result.answer.gender is None and not result.look
    assert reason in result.answer.reason and "\n" not in result.answer.reason
    assert str(tmp_path) not in page_module.card(result) and result.answer.reason.endswith((".", "?", ")"))
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


@pytest.mark.slow
def test_of_two_voices_it_shows_who_speaks_when_and_looks_where_it_is_told(classifier, dialogue):
    result = analyse(classifier, dialogue, name="dialogue.wav")
    assert result.answer.answer == "mixed" and "female" in page_module.in_words(result.answer)
    assert "who speaks when: female 0.0" in page_module.card(result)
    assert result.look.stop < 2, "the first word"
    look = closer_look(classifier, dialogue, result.answer, at=9)
    assert look.start > 5 and look.p_female < 0.5 < result.look.p_female


@pytest.mark.slow
def test_a_file_that_is_cut_off_is_answered_with_a_warning_and_so_is_its_player(classifier, tmp_path):
    sound = np.tile(np.pad(read_signal(FEMALE) / 32_768, (0, SAMPLE_RATE)), 45)  # over a minute
    soundfile.write(tmp_path / "x.wav", sound, SAMPLE_RATE)
    (tmp_path / "x.wav").write_bytes((tmp_path / "x.wav").read_bytes()[:-400_000])
    result = analyse(classifier, tmp_path / "x.wav", name="x.wav")
    assert result.answer.gender == "female" and result.answer.warning.startswith("is cut short") and result.look
    assert closer_look(classifier, tmp_path / "x.wav", result.answer, at=50).p_female > 0.5


@pytest.mark.slow
def test_of_a_call_each_channel_is_answered_and_looked_at(classifier, tmp_path):
    words = [np.pad(read_signal(path) / 32_768, (0, SAMPLE_RATE // 2)) for path in (FEMALE, MALE)]
    call = np.zeros((8 * max(map(len, words)), 2))
    for channel, word in enumerate(words):
        repeated = np.tile(word / np.abs(word).max() / (3, 50)[channel], 3)
        call[channel * len(call) // 2 :][: len(repeated), channel] = repeated
    soundfile.write(tmp_path / "call.wav", call, SAMPLE_RATE)
    result = analyse(classifier, tmp_path / "call.wav", name="call.wav")
    assert result.answer.answer == "mixed"
    late = len(call) / SAMPLE_RATE * 0.6
    assert closer_look(classifier, tmp_path / "call.wav", result.answer, at=late).p_female < 0.5


def test_a_window_lies_in_the_nearest_stretch():
    timeline = (Stretch(1, 1.5, "male", 0.1), Stretch(4, 9, "female", 0.9))
    assert analysis.window_near(timeline, 0) == (1, 1.5, None)
    assert analysis.window_near(timeline, 8.9)[1] == pytest.approx(9)
    start, stop, _ = analysis.window_near(timeline, 6)
    assert (start + stop) / 2 == pytest.approx(6) and 0.99 < stop - start < 1


def without_ids(svg: str) -> str:
    """A figure without the random names that matplotlib gives its parts."""
    return re.sub(r'(id="|#)[\w-]+', r"\1", svg)


@pytest.mark.slow
def test_ten_threads_get_the_pictures_that_one_gets_and_leave_the_style_alone(classifier):
    voices = sorted(VOICES.glob("synthetic_*.wav"))
    alone, style = [analyse(classifier, path, name="x") for path in voices], dict(matplotlib.rcParams)
    with ThreadPoolExecutor(10) as pool:
        together = list(pool.map(lambda path: analyse(classifier, path, name="x"), voices * 3))
    for number, result in enumerate(together):
        expected = alone[number % len(voices)]
        assert without_ids(result.look.picture) == without_ids(expected.look.picture)
        assert result.answer == expected.answer
    assert dict(matplotlib.rcParams) == style


def test_whatever_is_wrong_with_one_file_becomes_its_answer(classifier, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(analysis, "classify_pieces", fail)
    result = analyse(classifier, FEMALE, name="x.wav")
    assert (
        result.answer.answer == "unreadable" and result.answer.reason == "it cannot be analysed (Input/output error)."
    )
    assert analyse(classifier, tmp_path / "gone.wav", name="gone.wav").answer.answer == "unreadable"


@pytest.mark.slow
def test_a_recording_of_more_than_a_minute_is_played_from_a_file_that_goes_with_it(classifier):
    folder = page_module.UPLOADS / "50 % of #1"
    folder.mkdir(parents=True)
    word, pause = read_signal(FEMALE) / 32_768, np.zeros(SAMPLE_RATE)
    soundfile.write(folder / "sound.wav", np.concatenate([word, pause] * 40), SAMPLE_RATE)
    result = analyse(classifier, folder / "sound.wav", name="long.wav")
    assert result.player.endswith("50%20%25%20of%20%231/played.mp3") and result.answer.windows >= 40
    assert abs(soundfile.info(folder / "played.mp3").duration - result.answer.seconds) < 0.2
    visits = page_module.Visits()
    visits.add("me", result)
    visits.add("another", result)
    visits.remove("me")
    assert folder.exists(), "another visitor's result needs it"
    visits.remove("another")
    assert not folder.exists()


def test_a_result_of_a_file_elsewhere_leaves_it_alone_and_names_are_told_apart(classifier):
    visits, result = page_module.Visits(), analyse(classifier, FEMALE, name="a.wav")
    assert [visits.add("me", result).name for _ in range(3)] == ["a.wav", "a.wav (2)", "a.wav (3)"]
    visits.change("me", 2, kept="x")
    assert [one.kept for _, one in visits.of("me")] == [None, "x", None]
    visits.remove("me", 2)
    visits.change("me", 2, kept="y")
    assert [one.name for _, one in visits.of("me")] == ["a.wav (3)", "a.wav"]
    visits.remove("me")
    assert not visits.of("me") and FEMALE.exists()


def test_the_name_of_a_file_cannot_bring_html_into_the_page(classifier):
    result = analyse(classifier, FEMALE, name='<img src=x onerror=alert(1)>".wav')
    assert "<img" not in page_module.card(result)


def test_the_kept_wav_is_the_recording_sample_for_sample_and_never_replaces_one(classifier, tmp_path):
    result = analyse(classifier, FEMALE, name="../seven.wav")
    paths = [page_module.keep(result, tmp_path / "my_wavs") for _ in range(3)]
    assert [path.name for path in paths] == ["seven.wav", "seven_2.wav", "seven_3.wav"]
    assert {path.parent for path in paths} == {tmp_path / "my_wavs"}
    np.testing.assert_array_equal(read_signal(paths[2]), read_signal(FEMALE))


def test_of_a_recording_that_cannot_be_kept_nothing_is_left(classifier, tmp_path, monkeypatch):
    def full(file, kept):
        kept.write(file.read(10))
        raise OSError(28, "No space left on device")

    result = analyse(classifier, FEMALE, name="seven.wav")
    monkeypatch.setattr(page_module.shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        page_module.keep(result, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("probability, text", [(0.99999, "> 99.9%"), (0.5, "50.0%"), (1e-5, "< 0.1%")])
def test_no_certainty_is_claimed(probability, text):
    assert page_module.percent(probability) == text


def test_beside_a_probability_stands_how_often_such_an_answer_was_right(monkeypatch, tmp_path):
    assert re.fullmatch(
        r"Of [\d,]+ single words of the development sets .* \(95% to 100%\), [\d,]+ were right\.",
        analysis.how_often_right(0.01),
    )
    monkeypatch.setattr(analysis, "_bands", lambda: [])
    assert analysis.how_often_right(0.99) == ""


def test_without_a_model_one_line_says_so(monkeypatch, capsys):
    def none():
        raise ModelError("there is no trained model yet")

    monkeypatch.setattr(app, "default_model", none)
    assert app.main(["--no-browser"]) == 1
    assert capsys.readouterr().err == "there is no trained model yet\n"


def test_what_a_button_asks_of_a_recording_that_is_gone_is_a_sentence(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "MY_WAVS", tmp_path / "my_wavs")
    shutil.copy(FEMALE, tmp_path / "x.wav")
    page = page_module.Page(classifier)
    visit = SimpleNamespace(session_hash="visit")
    page.visits.add("visit", analyse(classifier, tmp_path / "x.wav", name="x.wav"))
    (tmp_path / "x.wav").unlink()
    said = {command: page.act(command, visit)[1] for command in ('["look", 1, 0.5]', '["keep", 1, null]')}
    assert said['["look", 1, 0.5]'] == "x.wav is not there any more."
    assert said['["keep", 1, null]'] == "x.wav could not be kept: No such file or directory."
    assert not list((tmp_path / "my_wavs").iterdir()), "an empty file is left"
    for nonsense in ('["look", 1, null]', '["look", 1, [2]]', "[]", "x", '["other", 1, null]'):
        assert page.act(nonsense, visit)[1] == ""
    for of_none in ('["look", null, 1]', '["keep", null, null]', '["keep", 7, null]'):
        assert page.act(of_none, visit)[1] == "It was deleted meanwhile."


def test_a_taken_port_is_one_line(monkeypatch, capsys):
    with socket.socket() as taken:
        taken.bind((guard.ADDRESS, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert app.main(["--no-browser", "--port", str(port)]) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and str(port) in errors


def test_a_full_disk_is_one_line_to_whom_an_upload_was_for(tmp_path):
    async def full(*_):
        raise OSError(28, "No space left on device")

    async def send(message):
        sent.append(message)

    sent = []
    upload = {"type": "http", "method": "POST", "path": guard.UPLOAD_ROUTE, "headers": []}
    asyncio.run(guard.with_guard(full, tmp_path)(upload, None, send))
    assert sent[0]["status"] == 507
    assert sent[1]["body"].decode() == f"The file could not be stored in {tmp_path}: No space left on device."


@pytest.mark.skipif(os.name == "nt", reason="whether a process is alive cannot be asked there")
def test_what_a_killed_page_left_is_removed_at_the_next_start(tmp_path, monkeypatch):
    monkeypatch.setattr(guard.tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in (f"who_speaks_{ended.pid}_x", f"who_speaks_{os.getpid()}_x", "who_speaks_other"):
        (tmp_path / name).mkdir()
    own = guard.temporary_folder()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"who_speaks_{os.getpid()}_x", "who_speaks_other", own.name}


@pytest.mark.slow
def test_its_process_connects_to_this_machine_only():
    code = """
import sys, socket, urllib.request
sys.path.insert(0, "scripts")
from speaker_gender.showing.guard import stay_here
stay_here()
for address in ("http://example.org/", "http://93.184.216.34/", "http://[2606::1]/"):
    try:
        urllib.request.urlopen(address, timeout=5)
    except OSError as error:
        assert "asks no other machine" in str(error), error
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
"""
    environment = os.environ | {"ALL_PROXY": "socks5://localhost:9", "NO_PROXY": "localhost,fe80::/10"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)


# --- the whole page


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The program as a user starts it, with a workspace and a temporary folder of its own; its address and these."""
    folder = tmp_path_factory.mktemp("page")
    temporary = folder / "50 % of #1"
    temporary.mkdir()
    environment = os.environ | {"WORKSPACE": str(folder / "workspace"), "TMPDIR": str(temporary)}
    environment |= {"ALL_PROXY": "socks5://localhost:9", "NO_PROXY": "localhost,fe80::/10", "SSL_CERT_FILE": "/gone"}
    command = [sys.executable, str(SCRIPT), "--no-browser"]
    ignored = {"preexec_fn": lambda: signals.signal(signals.SIGINT, signals.SIG_IGN)}  # as in a shell's background
    options = {} if os.name == "nt" else ignored
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, **options) as process:
        try:
            address = process.stdout.readline().split()[0]
            assert list(temporary.glob("who_speaks_*"))
            yield address, folder
        finally:
            process.send_signal(signals.SIGTERM)
            process.wait(PATIENCE)
    assert not list(temporary.glob("who_speaks_*")), "nothing of a visitor is left"


@pytest.fixture(scope="module")
def chromium():
    """A browser that reaches nothing but this machine, with a microphone that hears a woman's voice in a loop."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: requirements-dev.txt")
    if not CHROMIUM:
        pytest.skip("Chromium is not installed: the page was not tried in a browser")
    flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    flags += [f"--use-file-for-fake-audio-capture={FEMALE}", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


class Tab:
    """A tab of the browser on the page, and what it asked for."""

    def __init__(self, browser, address: str, size: str, *, dark: bool = False):
        context = browser.new_context(viewport=SIZES[size], permissions=["microphone"])
        context.set_default_timeout(1_000 * PATIENCE)
        self.page, self.asked, self.said = context.new_page(), [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.goto(f"{address}?__theme={'dark' if dark else 'light'}")
        self.page.wait_for_selector("#samples button")

    def press(self, name: str, number: int = 0) -> None:
        self.page.get_by_role("button", name=name, exact=True).nth(number).click()

    def upload(self, *paths: Path) -> None:
        self.page.set_input_files("#inputs input[type=file]", list(paths))

    def wait_for_status(self, text: str) -> None:
        self.page.wait_for_function("text => document.querySelector('#status')?.innerText.includes(text)", arg=text)

    def wait_for_cards(self, *names: str) -> None:
        shown = "names => [...document.querySelectorAll('.card h3')].map(h => h.innerText).join('|') === names"
        self.page.wait_for_function(shown, arg="|".join(names))

    def fits(self) -> bool:
        return self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture(params=SIZES)
def tab(request, server, chromium):
    opened = Tab(chromium, server[0], request.param)
    yield opened
    opened.page.context.close()


def pictures(otherwise: Path) -> Path:
    """Where pictures of the page go: with UPDATE_PNGS=1 to those that README shows."""
    return ROOT / "pngs" if os.environ.get("UPDATE_PNGS") else otherwise


def write_filmstrip(screenshots: list[bytes], path: Path) -> None:
    """Write screenshots of one size side by side."""
    frames = [np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")) for shot in screenshots]
    gap = np.full((len(frames[0]), 24, 3), 255, np.uint8)
    Image.fromarray(np.hstack([frames[0], *(part for frame in frames[1:] for part in (gap, frame))])).save(path)


def uploads(folder: Path) -> set[Path]:
    """The sound files that the page holds, of all its visitors."""
    return {path for path in folder.glob("*/who_speaks_*/**/*") if path.is_file() and path.stat().st_size}


@pytest.mark.slow
def test_what_is_said_into_the_microphone_is_answered_and_forgotten(server, tab, tmp_path):
    before = uploads(server[1])
    shots = [tab.page.screenshot()]
    tab.press("Record")
    tab.page.get_by_role("button", name="Stop", exact=True).wait_for()
    tab.page.wait_for_timeout(1_500)  # of speech
    shots.append(tab.page.screenshot())
    tab.press("Stop")
    tab.page.wait_for_selector(".card .said")
    if tab.page.viewport_size == SIZES["phone"]:  # the page scrolls to the answer
        tab.page.wait_for_function("document.querySelector('#status').getBoundingClientRect().top < 40")
        shots.append(tab.page.screenshot())
        write_filmstrip(shots, pictures(tmp_path) / "page_filmstrip.png")
    newest = tab.page.locator(".card h3").first.inner_text()
    assert newest.startswith("Recording ") and tab.page.locator(".card .said").first.inner_text() == "female"
    tab.wait_for_status(f"{newest}: female (female ")
    tab.press("Delete all")
    tab.wait_for_cards()
    assert uploads(server[1]) <= before, "a recording that was deleted is left"
    assert not [url for url in tab.asked if not url.startswith((server[0], "data:", "blob:"))]
    assert not [text for text in tab.said if "Content Security Policy" in text]


@pytest.mark.slow
def test_files_are_answered_side_by_side_kept_and_deleted(server, tab, tmp_path):
    kept = server[1] / "workspace" / "nbs" / "my_wavs"
    soundfile.write(tmp_path / "silence.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    (tmp_path / "notes.txt").write_text("not sound")
    (tmp_path / "again.wav").write_bytes(MALE.read_bytes())
    cut = tmp_path / "cut.wav"
    cut.write_bytes(MALE.read_bytes()[:-20_000])
    tab.upload(FEMALE)
    tab.wait_for_status(f"{FEMALE.name}: female (")
    tab.upload(MALE, tmp_path / "again.wav", tmp_path / "silence.wav", cut, tmp_path / "notes.txt")
    tab.wait_for_status("No answer for notes.txt: is text, not sound")
    names = ["notes.txt", "cut.wav", "silence.wav", "again.wav", MALE.name, FEMALE.name]
    tab.wait_for_cards(*names)
    assert "again.wav: male (" in tab.page.inner_text("#status"), "a copy of another file"
    assert "It is cut short" in tab.page.inner_text("#status") and tab.fits()
    assert "Traceback" not in tab.page.inner_text("body") and not tab.page.locator("[data-testid=toast-body]").count()
    before = len(list(kept.glob("*.wav")))
    tab.press("Keep this recording", 1)  # of those that have a player
    tab.wait_for_status("silence.wav was kept as nbs/my_wavs/silence")
    assert len(list(kept.glob("*.wav"))) == before + 1
    tab.press("Delete notes.txt")
    tab.wait_for_status("notes.txt was deleted")
    tab.wait_for_cards(*names[1:])
    tab.page.get_by_role("button", name="Delete all", exact=True).press("Enter")
    tab.wait_for_cards()
    tab.page.wait_for_function("document.activeElement.id === 'status'")


@pytest.mark.slow
def test_what_was_deleted_does_not_come_back_and_nothing_that_came_at_once_is_lost(tab, tmp_path):
    word = np.pad(read_signal(FEMALE) / 32_768, (0, SAMPLE_RATE // 2))
    soundfile.write(tmp_path / "long.wav", np.tile(word, 60), SAMPLE_RATE)
    tab.press("male, nine")
    tab.press("female, seven")
    tab.press("a dialogue")
    tab.wait_for_cards("synthetic_dialogue.wav", FEMALE.name, MALE.name)
    tab.wait_for_status("synthetic_dialogue.wav: mixed (female ")
    with tab.page.expect_response(lambda response: "/upload" in response.url):
        tab.upload(tmp_path / "long.wav")
    tab.press("Delete all")
    tab.wait_for_status("long.wav: female (")
    tab.wait_for_cards("long.wav")
    tab.press("Delete all")
    tab.wait_for_cards()


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_is_pictured(server, chromium, size, dark, dialogue, tmp_path):
    tab = Tab(chromium, server[0], size, dark=dark)
    tab.press("female, seven")
    tab.wait_for_status(f"{FEMALE.name}: female (")
    tab.upload(dialogue)
    tab.wait_for_status("dialogue.wav: mixed (female ")
    tab.wait_for_cards("dialogue.wav", FEMALE.name)
    tab.page.wait_for_selector(".card input[type=range]")
    assert tab.fits()
    texts = "[...document.querySelectorAll('p, button')].filter(e => e.innerText.length > 10)"
    assert tab.page.evaluate(f"{texts}.filter(e => e.offsetWidth < 60).length") == 0, "a text is too narrow to read"
    picture = pictures(tmp_path) / f"page_{size}_{'dark' if dark else 'light'}.png"
    tab.page.evaluate("scrollTo(0, 0)")
    clip = {"x": 0, "y": 0, "width": SIZES[size]["width"], "height": 1_500}
    tab.page.screenshot(path=picture, full_page=True, clip=clip)
    with Image.open(picture) as image:
        background = np.mean(image.convert("L").getpixel((5, 5)))
    assert background < 100 if dark else background > 150
    tab.page.context.close()


@pytest.mark.slow
def test_a_screen_reader_is_told_everything(tab):
    tab.upload(FEMALE)
    tab.wait_for_status("female (")
    tab.page.wait_for_selector(".card .said")
    tab.page.wait_for_selector(f"[aria-label='Delete {FEMALE.name}']")
    assert tab.page.get_by_role("heading").first.inner_text() == "Who speaks?"
    named = "e.innerText || e.ariaLabel || e.labels?.length || e.title"
    controls = "[...document.querySelectorAll('button, audio, input')].filter(e => e.offsetParent)"
    nameless = f"{controls}.filter(e => !({named})).length"
    assert tab.page.evaluate(nameless) == 0
    (figure,) = tab.page.locator(".card svg[role=img]").all()
    label = figure.get_attribute("aria-label")
    assert FEMALE.name in label and "Hz" in label and "for the label female" in label
    assert tab.page.locator("#status").get_attribute("role") == "status"


def status_of(address: str, headers: dict | None = None, data: bytes | None = None) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data, headers or {}), timeout=PATIENCE) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
def test_only_the_page_itself_is_served_and_only_what_is_its_own(server):
    address = server[0].rstrip("/")
    with urllib.request.urlopen(address) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert status_of(address, {"Host": "example.org"}) == 400
    others = (
        "http://example.org/x",
        "http:/example.org/x",
        "/etc/passwd",
        "../../etc/passwd",
        "http%3A%2F%2F127.0.0.1:1/",
    )
    for path in others:
        assert status_of(f"{address}/gradio_api/file={path}") == 403
    assert status_of(f"{address}/gradio_api/proxy=http://example.org/x") == 403
    upload = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x.wav"\r\n\r\nx\r\n--b--\r\n'
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    before = uploads(server[1])
    for foreign in ({"Origin": "http://example.org"}, {"Origin": "http://127.0.0.1:1"}, {"Origin": "null"}):
        assert status_of(f"{address}/gradio_api/upload", form | foreign, upload) == 403
    assert status_of(f"{address}/gradio_api/upload", form | {"Sec-Fetch-Site": "cross-site"}, upload) == 403
    assert status_of(f"{address}/config", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}) == 403
    assert uploads(server[1]) == before
    assert status_of(f"{address}/gradio_api/upload", form | {"Origin": address}, upload) == 200
