"""The page: recordings made or dropped in a browser, their answers, and what the model saw.

Served to this machine only; it loads nothing from others and keeps nothing unless asked.
"""

import atexit
import base64
import html
import io
import itertools
import os
import re
import shutil
import tempfile
import wave
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

# Both are read when gradio is imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="who_speaks_")

import gradio as gr
import librosa
import matplotlib
import numpy as np
import soxr
from matplotlib.figure import Figure
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from speaker_gender.answering.classification import Answer, classify_signal, window_images
from speaker_gender.answering.classifier import Classifier
from speaker_gender.answering.explanation import MOST_WINDOWS, explain
from speaker_gender.caching import shown
from speaker_gender.config import MY_WAVS, SAMPLE_RATE
from speaker_gender.judging.figures import COLOURS, answer_figure
from speaker_gender.sound.pitch import PITCH_HOP, PITCH_RATE, PITCH_WINDOW, PITCHES, pitch_track
from speaker_gender.sound.reading import INT16_FULL_SCALE, AudioError, read_header, read_signal

UPLOADS = Path(os.environ["GRADIO_TEMP_DIR"])
atexit.register(shutil.rmtree, UPLOADS, ignore_errors=True)

ADDRESS = "127.0.0.1"
MOST_SECONDS = 60  # that are listened to: the pitch of a minute takes seconds
WAVEFORM_COLUMNS = 600  # of lowest and highest sample, about a pixel each
PITCH_TICKS = (100, 200, 300, 400)  # Hz
AUDIBLE = 0.01  # of the loudest frame's amplitude: 40 dB below
INK = "#010203"  # stands for the page's text colour in figures until they are in the page

REASONS = {
    "silence": "it is silent. Is the microphone muted, or is another one in use?",
    "noise only": "no voice is heard in it, only noise (or a whisper).",
    "too short": "there is hardly any speech in it. Say a whole word.",
    "clipped": "it is clipped. Speak more softly or further from the microphone.",
}

# The browser itself refuses whatever is not from here; Gradio's own scripts need the two kinds of 'unsafe'.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'"

INTRODUCTION = """
# Who speaks?
Say a word or a sentence, or choose sound files (WAV, FLAC, OGG, MP3, AIFF): does a trained model hear a female or a
male voice? The answer is a corpus's label, one of two and no more: **do not use it to decide anything about anybody**.
Everything stays on this machine.
"""

MEANING = """
## What the label means
The model was trained on recordings of adults who read aloud or said digits in English, each with one of two labels in
its corpus's metadata, *female* or *male*. Its answer says which of them a recording sounds more like, with a
probability that was calibrated on speakers it was not trained on. It says nothing about who anybody is.

## Where your voice goes
Nowhere: this page is served by this machine to this machine, and works without a network. A recording is forgotten when
it is deleted here, or when the page's program stops, unless you keep it in `nbs/my_wavs/`.
"""

STYLE = """
.gradio-container { width: 100%; max-width: 1240px !important; margin: 0 auto !important; }
#introduction h1 { font-size: 2rem; margin: 0.5rem 0 0.25rem; }
#introduction p, #meaning p { font-size: 1rem; line-height: 1.5; max-width: 68ch; }
#meaning h2 { font-size: 1.1rem; margin: 1rem 0 0.25rem; }
#status { min-height: 1.5em; font-size: 1.05rem; }
#status:focus-visible { outline: 2px solid var(--color-accent); }
.cards { display: grid !important; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr));
    gap: 1rem; align-items: start; }
.card { border: 1px solid var(--border-color-primary); border-radius: 12px; padding: 1rem !important;
    background: var(--background-fill-primary); min-width: 0 !important; gap: 0.75rem !important; }
.card h2 { font-size: 1rem; font-weight: 600; margin: 0; overflow-wrap: anywhere; }
.card .said { font-size: 2rem; font-weight: 700; line-height: 1.2; margin: 0.25rem 0 0.5rem; }
.card .reason { font-size: 1.05rem; margin: 0.5rem 0; }
.card audio { width: 100%; height: 40px; margin: 0.5rem 0; }
.chance { display: grid; grid-template-columns: 3.5rem 1fr 4rem; gap: 0.5rem; align-items: center; margin: 0.25rem 0; }
.chance b { font-weight: 400; text-align: right; font-variant-numeric: tabular-nums; }
.track { height: 0.8rem; border: 1px solid var(--body-text-color-subdued); border-radius: 0.4rem; overflow: hidden; }
.track i { display: block; height: 100%; }
.card button { overflow-wrap: anywhere; }
.dark audio { color-scheme: dark; }
.gradio-container .or { color: inherit; }
.card figure { margin: 0.75rem 0 0; color: var(--body-text-color); }
.card figure svg { display: block; width: 100%; height: auto; }
.card figure text { font-family: var(--font) !important; }
.card figcaption { font-size: 0.85rem; line-height: 1.4; color: var(--body-text-color); margin-top: 0.25rem; }
.windows { display: flex; overflow-x: auto; gap: 1rem; scroll-snap-type: x mandatory; }
.windows > * { flex: 0 0 100%; scroll-snap-align: start; }
.windows:focus-visible { outline: 2px solid var(--color-accent); }
"""

PRIVATE = {"api_visibility": "private"}
QUIET = {"show_progress": "hidden", **PRIVATE}

# What changes in the line below the inputs is read out by screen readers. It also takes the keyboard's focus when the
# button of a result, which has it, goes away with the result: the next Tab then leads on from there.
ON_LOAD = """() => {
    const status = document.getElementById("status");
    status.setAttribute("role", "status");
    status.setAttribute("aria-live", "polite");
    status.tabIndex = -1;
    const inputs = document.getElementById("inputs");
    let button = null;
    document.addEventListener("focusin", event => { button = inputs.contains(event.target) ? null : event.target; });
    new MutationObserver(() => {
        if (button && !button.isConnected && document.activeElement === document.body) status.focus();
    }).observe(document.body, { childList: true, subtree: true });
}"""


@dataclass(frozen=True)
class Result:
    """What is shown of one recording: its name, the answer, the recording as a WAV, and the figures as SVG.

    `wav`, `sound` and `images` are empty where there is nothing to show; `kept` is the file that it was kept as.
    """

    name: str
    answer: Answer
    wav: bytes
    sound: str
    images: tuple[str, ...]
    median_pitch: float | None
    kept: str | None = None


def analyse(classifier: Classifier, path: Path, *, name: str) -> Result:
    """Everything that the page shows of a sound file; why there is no answer is in the result's answer, as a sentence.

    Half a minute of speech takes seconds: for its pitch, and for Grad-CAM.
    """
    try:
        n_samples, rate, _ = read_header(path)
        if n_samples > MOST_SECONDS * rate:
            raise AudioError(path, f"is longer than {MOST_SECONDS} seconds; choose a part of it")
        signal = read_signal(path)
    except AudioError as error:
        return Result(name, Answer(name, None, None, None, None, 0, f"{error.problem}."), b"", "", (), None)
    answer = classify_signal(classifier, signal, file=name)
    if answer.gender is None:
        reason = REASONS.get(answer.reason, f"{answer.reason}.")
        answer = Answer(name, None, None, None, answer.seconds, 0, reason)
        return Result(name, answer, wav_bytes(signal), to_svg(sound_figure, signal, None), (), None)
    pitch = audible_pitch(soxr.resample(signal, SAMPLE_RATE, PITCH_RATE))
    images = window_images(classifier, signal)[0][:MOST_WINDOWS]
    maps, view = explain(classifier, images), classifier.card["view"]
    drawn = tuple(to_svg(answer_figure, images[[i]], maps[[i]], view=view) for i in range(len(images)))
    return Result(name, answer, wav_bytes(signal), to_svg(sound_figure, signal, pitch), drawn, median(pitch))


def audible_pitch(signal: np.ndarray) -> np.ndarray:
    """The pitch track of a signal at 16 kHz, with nan where it is 40 dB below the loudest frame; shape (frames,).

    pyin does not mind how loud a frame is, and finds a pitch in what filters leave behind in digital silence.
    """
    loudness = librosa.feature.rms(y=signal, frame_length=PITCH_WINDOW, hop_length=PITCH_HOP)[0]
    return np.where(loudness > loudness.max() * AUDIBLE, pitch_track(signal), np.nan)


def median(pitch: np.ndarray) -> float | None:
    """Median F0 in Hz of a track with nan where nothing is voiced; None where nothing is."""
    return None if np.isnan(pitch).all() else float(np.nanmedian(pitch))


def wav_bytes(signal: np.ndarray) -> bytes:
    """A signal on the int16 scale at 48 kHz, shape (samples,), as the bytes of a mono 16-bit WAV."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.clip(np.rint(signal), -INT16_FULL_SCALE, INT16_FULL_SCALE - 1).astype("<i2").tobytes())
    return buffer.getvalue()


def to_svg(draw: Callable[..., Figure], *arguments, **options) -> str:
    """The figure that `draw` returns, as an SVG element whose text and lines take the colour of the page's text."""
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color")
    style = {"svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.rc_context(style | dict.fromkeys(inked, INK)):
        buffer = io.StringIO()
        draw(*arguments, **options).savefig(buffer, format="svg", transparent=True, dpi=200, metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :].replace(INK, "currentColor")


def sound_figure(signal: np.ndarray, pitch: np.ndarray | None) -> Figure:
    """The waveform of a signal on the int16 scale at 48 kHz, and below it its pitch track where there is one."""
    seconds, n_rows = len(signal) / SAMPLE_RATE, 1 if pitch is None else 2
    figure = Figure(figsize=(3.6, 0.3 + 1.25 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, 1, sharex=True, squeeze=False)[:, 0]
    columns = np.array_split(signal, min(WAVEFORM_COLUMNS, len(signal)))
    lowest, highest = [column.min() for column in columns], [column.max() for column in columns]
    axes[0].fill_between(np.linspace(0, seconds, len(columns)), lowest, highest, color=INK, linewidth=0.5)
    axes[0].set_title("waveform", loc="left", fontsize=9)
    axes[0].set(xlim=(0, seconds), yticks=[])
    if pitch is not None:
        axes[1].plot(np.arange(len(pitch)) * PITCH_HOP / PITCH_RATE, pitch, ".", color=INK, markersize=4)
        axes[1].set_title("pitch", loc="left", fontsize=9)
        axes[1].set(ylabel="Hz", ylim=PITCHES, yticks=PITCH_TICKS)
    axes[-1].set_xlabel("seconds")
    return figure


def percent(probability: float) -> str:
    """A probability for reading: no certainty that was never claimed."""
    return "> 99.9%" if probability > 0.999 else "< 0.1%" if probability < 0.001 else f"{probability:.1%}"


def sentence(result: Result) -> str:
    """The answer as one sentence, for the line that is read out."""
    answer = result.answer
    if answer.gender is None:
        return f"No answer for {result.name}: {answer.reason}"
    return f"{result.name}: {answer.gender} (female {percent(answer.p_female)}, male {percent(answer.p_male)})."


def card(result: Result) -> str:
    """The HTML of one result."""
    name, answer = html.escape(result.name), result.answer
    parts = [f"<h3>{name}</h3>"]
    if answer.gender is None:
        parts.append(f'<p class="reason"><strong>No answer:</strong> {html.escape(answer.reason)}</p>')
    else:
        parts.append(f'<p class="said">{answer.gender}</p>')
        parts += [chance("female", answer.p_female), chance("male", answer.p_male)]
    if result.wav:
        source = f"data:audio/wav;base64,{base64.b64encode(result.wav).decode()}"
        parts.append(f'<audio controls aria-label="Play {name}" src="{source}"></audio>')
    if result.sound:
        heard = "" if answer.gender is None else f", and its pitch: {pitch_in_words(result.median_pitch)}"
        parts.append(f"<figure>{labelled(result.sound, f'Waveform of {result.name}{heard}')}")
        parts.append(
            f"<figcaption>Pitch: {pitch_in_words(result.median_pitch)}</figcaption></figure>" if heard else "</figure>"
        )
    if result.images:
        parts.append(windows(result))
    return "\n".join(parts)


def chance(gender: str, probability: float) -> str:
    """A row with the label, a bar, and the probability; the bar says nothing that the number does not."""
    bar = f'<i style="width: {probability:.1%}; background: {COLOURS[gender]}"></i>'
    number = html.escape(percent(probability))
    return f'<div class="chance"><span>{gender}</span><div class="track">{bar}</div><b>{number}</b></div>'


def pitch_in_words(median_pitch: float | None) -> str:
    return "nothing voiced was found" if median_pitch is None else f"median F0 {median_pitch:.0f} Hz"


def windows(result: Result) -> str:
    """The images that the model saw, in a strip that scrolls sideways where there is more than one."""
    n_shown, n_windows = len(result.images), result.answer.windows
    saw = f"What the model saw of {result.name}, and where it looked (Grad-CAM); the answer was {result.answer.gender}"
    parts = [f"{saw}; window {i} of {n_windows}" if n_windows > 1 else saw for i in range(1, n_shown + 1)]
    strip = "".join(labelled(image, text) for image, text in zip(result.images, parts))
    caption = "The brighter in the lower image, the more it counted for the answer."
    scrolls = ""
    if n_windows > 1:
        scrolls = f'tabindex="0" role="group" aria-label="Windows of {html.escape(result.name)}"'
        caption += f" The recording was cut into {n_windows} windows: scroll sideways to see"
        caption += " them all." if n_shown == n_windows else f" the first {n_shown}."
    return f'<figure><div class="windows" {scrolls}>{strip}</div><figcaption>{caption}</figcaption></figure>'


def labelled(svg: str, text: str) -> str:
    """An SVG element with a text for those who do not see it."""
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(text)}" ', 1)


def unused_name(name: str, taken: set[str]) -> str:
    """The name, with a number behind it where it is taken."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name} ({number})", number + 1
    return found


def keep(result: Result, folder: Path) -> Path:
    """Writes the recording into the folder, under its name or, where that is taken, with a number; returns the path.

    Raises OSError where it cannot be written.
    """
    stem = re.sub(r"[^\w-]+", "_", Path(result.name).stem).strip("_-")[:80] or "recording"
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        path = folder / (f"{stem}.wav" if number == 1 else f"{stem}_{number}.wav")
        try:
            with path.open("xb") as file:
                file.write(result.wav)
            return path
        except FileExistsError:
            continue


def build_page(classifier: Classifier) -> gr.Blocks:
    """The page, to be opened with `open_page`."""
    numbers = itertools.count(1)

    def add(paths: list[str], names: list[str], results: list[Result]):
        """What follows from new sound files: the results with theirs in front, and what to say; the files are gone."""
        sentences = []
        try:
            for path, name in zip(map(Path, paths), names):
                name = unused_name(name, {result.name for result in results})
                results = [analyse(classifier, path, name=name), *results]
                sentences.append(sentence(results[0]))
        finally:
            for path in paths:  # each in a folder of UPLOADS that it shares with files of the same content only
                shutil.rmtree(Path(path).parent, ignore_errors=True)
        return results, html.escape(" ".join(sentences)), None

    def add_recording(path: str | None, results: list[Result]):
        return add([path], [f"Recording {next(numbers)}"], results) if path else (results, "", None)

    def add_files(paths: list[str] | None, results: list[Result]):
        return add(paths or [], [Path(path).name for path in paths or []], results)

    with gr.Blocks(title="Who speaks?", analytics_enabled=False) as page:
        results = gr.State([])
        gr.Markdown(INTRODUCTION, elem_id="introduction")
        with gr.Row(equal_height=True, elem_id="inputs"):
            microphone = gr.Audio(sources="microphone", type="filepath", label="Speak", editable=False, buttons=[])
            files = gr.File(file_count="multiple", label="Or sound files", height=150)
        status = gr.HTML("", elem_id="status")

        @gr.render(inputs=results)
        def show(found: list[Result]):
            if not found:
                return
            with gr.Row():
                gr.Markdown(f"## Results ({len(found)})")
                delete_all = gr.Button("Delete all", size="sm", scale=0, min_width=120)
                delete_all.click(lambda: ([], "All results were deleted."), None, [results, status], **QUIET)
            with gr.Column(elem_classes="cards"):
                for result in found:
                    show_card(result)

        def show_card(result: Result):
            def delete(found: list[Result]):
                return [
                    other for other in found if other.name != result.name
                ], f"{html.escape(result.name)} was deleted."

            def keep_it(found: list[Result]):
                try:
                    path = shown(keep(result, MY_WAVS))
                except OSError as error:
                    return found, f"{html.escape(result.name)} could not be kept: {error.strerror}."
                kept = [replace(other, kept=path) if other.name == result.name else other for other in found]
                return kept, f"{html.escape(result.name)} was kept as {html.escape(path)}."

            with gr.Column(elem_classes="card"):
                gr.HTML(card(result))
                with gr.Row():
                    if result.wav and not result.kept:
                        gr.Button("Keep this recording", size="sm").click(keep_it, results, [results, status], **QUIET)
                    gr.Button(f"Delete {result.name}", size="sm").click(delete, results, [results, status], **QUIET)

        gr.Markdown(MEANING, elem_id="meaning")
        listening = {"concurrency_limit": 1, "concurrency_id": "listen", "show_progress_on": status, **PRIVATE}
        microphone.stop_recording(add_recording, [microphone, results], [results, status, microphone], **listening)
        files.upload(add_files, [files, results], [results, status, files], **listening)
        page.load(js=ON_LOAD)
    return page


def open_page(page: gr.Blocks, *, port: int | None = None, browser: bool = True) -> str:
    """Serves the page to this machine until `page.close()` or the program's end, and returns its address.

    Without a port it is the first free one from 7860 on. Raises OSError where the port is taken.
    """
    for name in ("no_proxy", "NO_PROXY"):  # Gradio asks its own server whether it is there
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), ADDRESS]))
    system_fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    _, address, _ = page.launch(
        server_name=ADDRESS,
        server_port=port,
        share=False,
        inbrowser=browser,
        inline=False,
        prevent_thread_lock=True,
        quiet=True,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        theme=gr.themes.Default(primary_hue="blue", neutral_hue="slate", **system_fonts),
        css=STYLE,
        app_kwargs={
            "middleware": [
                Middleware(TrustedHostMiddleware, allowed_hosts=[ADDRESS, "localhost"]),
                Middleware(with_policy),
            ]
        },
    )
    return address


def with_policy(app):
    """An ASGI application whose answers carry POLICY."""

    async def application(scope, receive, send):
        async def send_with_policy(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await app(scope, receive, send_with_policy)

    return application
