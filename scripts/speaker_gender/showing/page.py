"""The page: recordings made or dropped in a browser, their answers, and what the model saw.

Served to this machine only; it loads nothing from others and keeps nothing unless asked. What a visitor has is kept
once, on this side, by the visit's and the result's number: the browser holds nothing but what it shows.
"""

import atexit
import html
import itertools
import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from speaker_gender.showing.guard import ADDRESS, temporary_folder, with_guard

UPLOADS = temporary_folder()
atexit.register(shutil.rmtree, UPLOADS, ignore_errors=True)
# Both are read when gradio is imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_TEMP_DIR"] = str(UPLOADS)

import gradio as gr
import numpy as np
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from speaker_gender.caching import shown
from speaker_gender.classifying.classification import UNSURE, Answer
from speaker_gender.classifying.classifier import Classifier
from speaker_gender.config import MY_WAVS, ROOT, SAMPLE_RATE
from speaker_gender.showing.analysis import Look, Result, analyse, closer_look, how_often_right, wav_bytes
from speaker_gender.showing.figures import COLOURS
from speaker_gender.sound.reading import AudioError, read_signal

MOST_BYTES = "1gb"  # of an upload: an hour of stereo WAV at 48 kHz with 24 bits
SAMPLES = sorted((ROOT / "nbs" / "my_wavs").glob("synthetic_*.wav"))
PAUSE = 0.6  # seconds between the words of the sample in which two speak

INTRODUCTION = """
# Who speaks?
**Press Record, say a word or a sentence, press Stop.** A trained model then says whether it takes the voice for a
female or a male one, and who speaks when. The answer is a corpus's label, one of two and no more: do not use it to
decide anything about anybody. Everything stays on this machine.
"""

MEANING = """
## What the answer means
The model was trained on recordings of {trained_on}. Each has one of two labels, *female* or *male*, as the corpus's
metadata or the speakers themselves gave it. The answer says which label a recording is more like, with a probability
that was calibrated on speakers who are not in the training set. It says nothing about who anybody is. *Unsure*: the
greater probability is under {unsure:.0%}. *Mixed*: different stretches, or channels, have different labels.

## Where your voice goes
Nowhere: this page is served by this machine to this machine, and works without a network. A recording is forgotten when
it is deleted here, or when the page's program stops, unless you keep it in `nbs/my_wavs/`.
"""
SOURCES = {
    "librispeech": "LibriSpeech (English audiobooks)",
    "audiomnist": "AudioMNIST (English digits)",
    "common_voice": "Common Voice (sentences in many languages)",
    "spoken_digits": "spoken digits",
    "synthetic": "synthetic voices",
}

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
.card h3 { font-size: 1rem; font-weight: 600; margin: 0; overflow-wrap: anywhere; }
.card .said { font-size: 2rem; font-weight: 700; line-height: 1.2; margin: 0.25rem 0 0.5rem; }
.card .reason { font-size: 1.05rem; margin: 0.5rem 0; }
.card .note { font-size: 0.9rem; margin: 0.25rem 0; }
.card audio { width: 100%; height: 40px; margin: 0.5rem 0; }
.chance { display: grid; grid-template-columns: 3.5rem 1fr 4rem; gap: 0.5rem; align-items: center; margin: 0.25rem 0; }
.chance b { font-weight: 400; text-align: right; font-variant-numeric: tabular-nums; }
.track { height: 0.8rem; border: 1px solid var(--body-text-color-subdued); border-radius: 0.4rem; overflow: hidden; }
.track i { display: block; height: 100%; }
#command { position: absolute; left: -10000px; }
.heading { display: flex; justify-content: space-between; align-items: center; margin: 1rem 0; }
.heading h2 { font-size: 1.3rem; margin: 0; }
.heading button, .buttons button { padding: 0.4rem 0.9rem; border-radius: 6px; cursor: pointer; flex: 1;
    background: var(--button-secondary-background-fill); color: var(--button-secondary-text-color); }
.heading button { flex: 0 0 auto; }
.buttons { display: flex; flex-wrap: wrap; gap: 0.5rem; margin-top: 0.75rem; }
.buttons label { flex: 1 0 100%; font-size: 0.9rem; }
.buttons input { width: 100%; }
.dark audio { color-scheme: dark; }
.gradio-container .or { color: inherit; }
#samples { align-items: center; }
#samples > * { flex: 0 1 auto; }
.card figure { margin: 0.75rem 0 0; color: var(--body-text-color); }
.card figure svg { display: block; width: 100%; height: auto; }
.card figure text { font-family: var(--font) !important; }
.card figcaption { font-size: 0.85rem; line-height: 1.4; color: var(--body-text-color); margin-top: 0.25rem; }
"""

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUIET: dict[str, Any] = {"show_progress": "hidden", **PRIVATE}

# What changes in the line below the inputs is read out by screen readers. It also takes the keyboard's focus when the
# button of a result, which has it, goes away with the result: the next Tab then leads on from there.
ON_LOAD = """() => {
    const status = document.getElementById("status");
    status.setAttribute("role", "status");
    status.setAttribute("aria-live", "polite");
    status.tabIndex = -1;
    window.whoSpeaks = (what, number, value = null) => {
        const box = document.querySelector("#command textarea, #command input");
        box.value = JSON.stringify([what, number, value, Date.now()]);
        box.dispatchEvent(new Event("input", { bubbles: true }));
        if (what !== "look") status.focus();
    };
    new MutationObserver(() => {
        const first = document.querySelector(".card");
        if (first && innerWidth < 640 && status.innerText) status.scrollIntoView({ behavior: "smooth" });
    }).observe(document.getElementById("results"), { childList: true, subtree: true });
}"""


def percent(probability: float | None) -> str:
    """A probability for reading: no certainty that was never claimed."""
    probability = probability or 0.0
    return "> 99.9%" if probability > 0.999 else "< 0.1%" if probability < 0.001 else f"{probability:.1%}"


def in_words(answer: Answer) -> str:
    """The answer with its numbers: 'female (female 98.0%, male 2.0%)', or how long who speaks."""
    if answer.answer == "mixed":
        return "mixed (" + ", ".join(f"{label} {time:.1f} s" for label, time in answer.speaking_time.items()) + ")"
    return f"{answer.answer} (female {percent(answer.p_female)}, male {percent(answer.p_male)})"


def sentence(result: Result) -> str:
    """The answer as one sentence, for the line that is read out."""
    answer = result.answer
    if answer.gender is None:
        return f"No answer for {result.name}: {answer.reason}"
    warning = f" It {answer.warning}." if answer.warning else ""
    return f"{result.name}: {in_words(answer)}.{warning}"


def cards(results: list[tuple[int, Result]]) -> str:
    """The HTML of a visit's results; their buttons and sliders hand on what they ask for (see ON_LOAD)."""
    if not results:
        return ""
    delete_all = "<button onclick=\"whoSpeaks('delete', null)\">Delete all</button>"
    parts = "".join(f'<div class="card">{card(result)}{buttons(number, result)}</div>' for number, result in results)
    return f'<div class="heading"><h2>Results ({len(results)})</h2>{delete_all}</div><div class="cards">{parts}</div>'


def buttons(number: int, result: Result) -> str:
    """What can be done with a result."""
    name, parts = html.escape(result.name), []
    if result.look and result.answer.windows > 1:
        parts.append(
            f'<label>Look at another second<input type="range" min="0" max="{result.answer.seconds}" step="0.1" '
            f'value="{result.look.start:.1f}" onchange="whoSpeaks(\'look\', {number}, this.valueAsNumber)"></label>'
        )
    if result.player and not result.kept:
        parts.append(f"<button onclick=\"whoSpeaks('keep', {number})\">Keep this recording</button>")
    parts.append(f'<button aria-label="Delete {name}" onclick="whoSpeaks(\'delete\', {number})">Delete</button>')
    return f'<div class="buttons">{"".join(parts)}</div>'


def card(result: Result) -> str:
    """The HTML of one result."""
    name, answer = html.escape(result.name), result.answer
    parts = [f"<h3>{name}</h3>"]
    if answer.gender is None:
        parts.append(f'<p class="reason"><strong>No answer:</strong> {html.escape(answer.reason or "")}</p>')
    else:
        parts.append(f'<p class="said">{answer.answer}</p>')
        if answer.answer == "mixed":
            parts.append(f"<p>{html.escape(in_words(answer))}</p>")
        else:
            parts += [chance("female", answer.p_female), chance("male", answer.p_male)]
            parts.append(f'<p class="note">{how_often_right(answer.p_female or 0)}</p>')
        if answer.answer == "unsure":
            parts.append(f'<p class="note">Unsure: the greater probability is under {UNSURE:.0%}.</p>')
    if answer.warning:
        parts.append(f'<p class="reason"><strong>Note:</strong> it {html.escape(answer.warning)}.</p>')
    if result.player:
        source = html.escape(result.player)
        parts.append(f'<audio controls preload="metadata" aria-label="Play {name}" src="{source}"></audio>')
    if result.sound:
        parts.append(f"<figure>{labelled(result.sound, sound_in_words(result))}</figure>")
    if result.look:
        parts.append(look_html(result, result.look))
    return "\n".join(parts)


def sound_in_words(result: Result) -> str:
    """What the waveform and the timeline show, for those who do not see them."""
    stretches = [f"{part.label} {part.start:.1f} to {part.stop:.1f} s" for part in result.answer.timeline[:20]]
    more = ", …" if len(result.answer.timeline) > 20 else ""
    timeline = f", and who speaks when: {', '.join(stretches)}{more}" if result.answer.windows > 1 else ""
    return f"Waveform of {result.name}{timeline}"


def look_html(result: Result, look: Look) -> str:
    """The closer look at one window."""
    of = f" from {look.start:.1f} to {look.stop:.1f} s" if result.answer.windows > 1 else ""
    label = "female" if look.p_female >= 0.5 else "male"
    saw = f"Waveform, pitch ({pitch_in_words(look.median_pitch)}) and image of {result.name}{of}"
    below = "The image's bright bands are the voice's harmonics: the wider apart, the higher the pitch. "
    if look.explained:
        saw += f", and where the model looked in it (Grad-CAM) for the label {label}"
        below += "The brighter in the last picture, the more the networks on images respond to it; it is no proof."
    else:
        below += "Where the model looked takes PyTorch, which bash scripts/run.sh installs."
    heading = f"<h4>Second {look.start:.1f} to {look.stop:.1f}: female {percent(look.p_female)}</h4>" if of else ""
    return (
        f"{heading}<p>Pitch: {pitch_in_words(look.median_pitch)}.</p><figure>{labelled(look.picture, saw)}"
        f"<figcaption>{below}</figcaption></figure>"
    )


def chance(gender: str, probability: float | None) -> str:
    """A row with the label, a bar, and the probability; the bar says nothing that the number does not."""
    bar = f'<i style="width: {probability or 0:.1%}; background: {COLOURS[gender]}"></i>'
    number = html.escape(percent(probability))
    return f'<div class="chance"><span>{gender}</span><div class="track">{bar}</div><b>{number}</b></div>'


def pitch_in_words(median_pitch: float | None) -> str:
    """The median F0 of a window as words."""
    return "nothing voiced was found" if median_pitch is None else f"median F0 {median_pitch:.0f} Hz"


def labelled(svg: str, text: str) -> str:
    """An SVG element with a text for those who do not see it."""
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(text)}" ', 1)


def keep(result: Result, folder: Path) -> Path:
    """Writes the recording into the folder, under its name or, where that is taken, with a number; returns the path.

    Raises OSError where it cannot be written; nothing is then left of it.
    """
    stem = re.sub(r"[^\w-]+", "_", Path(result.name).stem).strip("_-")[:80] or "recording"
    folder.mkdir(parents=True, exist_ok=True)
    names = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(2)))
    with result.source.open("rb") as file:
        for path in (folder / f"{name}{result.source.suffix}" for name in names):
            try:
                kept = path.open("xb")
            except FileExistsError:
                continue
            try:
                with kept:
                    shutil.copyfileobj(file, kept)
            except BaseException:
                path.unlink()
                raise
            return path
    raise AssertionError  # numbers do not end


def trained_on(card: dict) -> str:
    """'237 speakers: LibriSpeech (…) and AudioMNIST (…)', from a model's card."""
    names = [SOURCES.get(source, source) for source in card.get("data", {})] or [str(card.get("corpus", "a corpus"))]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    n_speakers = card.get("speakers", {}).get("train")
    return f"{n_speakers:,} speakers: {listed}" if n_speakers else listed


class Visits:
    """What each visitor has: results by number. It is kept here alone, so nothing that was deleted comes back."""

    def __init__(self) -> None:
        self._lock, self._of = threading.Lock(), dict[str, dict[int, Result]]()
        self._numbers = itertools.count(1)

    def add(self, visit: str, result: Result) -> Result:
        """Add a result, with a number behind its name where that is taken; returns it as it was added."""
        with self._lock:
            results = self._of.setdefault(visit, {})
            taken = {other.name for other in results.values()}
            names = itertools.chain([result.name], (f"{result.name} ({number})" for number in itertools.count(2)))
            result = replace(result, name=next(name for name in names if name not in taken))
            results[next(self._numbers)] = result
            return result

    def of(self, visit: str) -> list[tuple[int, Result]]:
        """The results and their numbers, the newest first."""
        with self._lock:
            return list(self._of.get(visit, {}).items())[::-1]

    def change(self, visit: str, number: int, **fields: Any) -> None:
        """Change fields of a result, if it is still there."""
        with self._lock:
            results = self._of.get(visit, {})
            if number in results:
                results[number] = replace(results[number], **fields)

    def remove(self, visit: str, number: int | None = None) -> None:
        """Remove a result with its file, or all of a visit's; a file that another result needs stays."""
        with self._lock:
            results = self._of.get(visit, {})
            gone = [results.pop(one) for one in list(results) if number in (None, one)]
            needed = {result.source.parent for others in self._of.values() for result in others.values()}
            if not results:
                self._of.pop(visit, None)
            for folder in {result.source.parent for result in gone} - needed:
                if UPLOADS in folder.parents:
                    shutil.rmtree(folder, ignore_errors=True)


class Page:
    """What the page does; each method that is an event's gets the visit from its request, and returns what to show."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier, self.visits, self.recordings = classifier, Visits(), itertools.count(1)

    def add(self, paths: list[str], names: list[str], visit: str) -> tuple[str, str, None]:
        """Analyse sound files."""
        sentences = []
        for path, name in zip(map(Path, paths), names):
            result = self.visits.add(visit, analyse(self.classifier, path, name=name))
            sentences.append(sentence(result))
        return cards(self.visits.of(visit)), html.escape(" ".join(sentences)), None

    def add_recording(self, path: str | None, request: gr.Request):
        """A recording from the microphone."""
        names = [f"Recording {next(self.recordings)}"] if path else []
        return self.add([path] if path else [], names, _visit(request))

    def add_files(self, paths: list[str] | None, request: gr.Request):
        """Files that were chosen or dropped."""
        return self.add(paths or [], [Path(path).name for path in paths or []], _visit(request))

    def add_sample(self, path: Path, request: gr.Request):
        """One of the samples."""
        return self.add([str(path)], [path.name], _visit(request))[:2]

    def add_dialogue(self, request: gr.Request):
        """The samples one after the other."""
        path = Path(tempfile.mkdtemp(dir=UPLOADS)) / "synthetic_dialogue.wav"
        words = [read_signal(sample) for sample in SAMPLES]
        spoken = [part for word in words for part in (word, np.zeros(round(PAUSE * SAMPLE_RATE)))]
        path.write_bytes(wav_bytes(np.concatenate(spoken), sample_rate=SAMPLE_RATE))
        return self.add([str(path)], [path.name], _visit(request))[:2]

    def act(self, command: str, request: gr.Request) -> tuple[str, str]:
        """What a button or a slider in the results asks for: '["delete", 3, null]', see cards."""
        visit = _visit(request)
        try:
            what, number, value, *_ = json.loads(command)
            acts: dict[str, Callable[..., str]] = {"delete": self.delete, "keep": self.keep, "look": self.look_at}
            act = acts[what]
            result = dict(self.visits.of(visit)).get(number)
            value = float(value) if what == "look" else None
        except (ValueError, KeyError, TypeError):
            return cards(self.visits.of(visit)), ""
        if result is None and (number, what) != (None, "delete"):
            said = "It was deleted meanwhile."
        else:
            said = act(visit, number, result, value)
        return cards(self.visits.of(visit)), html.escape(said)

    def delete(self, visit: str, number: int | None, result: Result | None, _: None) -> str:
        """Delete a result, or all of them."""
        self.visits.remove(visit, number)
        return f"{result.name} was deleted." if result else "All results were deleted."

    def keep(self, visit: str, number: int, result: Result, _: None) -> str:
        """Keep a recording in nbs/my_wavs/."""
        try:
            path = shown(keep(result, MY_WAVS))
        except OSError as error:
            return f"{result.name} could not be kept: {error.strerror}."
        self.visits.change(visit, number, kept=path)
        return f"{result.name} was kept as {path}."

    def look_at(self, visit: str, number: int, result: Result, second: float) -> str:
        """Look at another second of a recording."""
        try:
            look = closer_look(self.classifier, result.source, result.answer, at=second)
        except (AudioError, OSError):
            return f"{result.name} is not there any more."
        self.visits.change(visit, number, look=look)
        return f"{result.name}, second {look.start:.1f}: female {percent(look.p_female)}."


def _event(method: Callable, *given: Any) -> Callable:
    """A method with its first arguments as an event; Gradio finds no request among the parameters of a partial."""

    def event(request: gr.Request):
        return method(*given, request)

    return event


def _visit(request: gr.Request) -> str:
    return request.session_hash or ""


def build_page(classifier: Classifier) -> gr.Blocks:
    """The page, to be opened with `open_page`."""
    own = Page(classifier)
    with gr.Blocks(title="Who speaks?", analytics_enabled=False) as page:
        visit = gr.State("", delete_callback=own.visits.remove)
        gr.Markdown(INTRODUCTION, elem_id="introduction")
        with gr.Row(equal_height=True, elem_id="inputs"):
            microphone = gr.Audio(sources="microphone", type="filepath", label="Your voice", editable=False, buttons=[])
            label = "Or sound files and films, up to an hour"
            files = gr.File(file_count="multiple", label=label, height=150)
        with gr.Row(elem_id="samples"):
            gr.Markdown("Or synthetic voices:")
            samples = [gr.Button(_title(path), size="sm", min_width=120) for path in SAMPLES]
            dialogue = gr.Button("a dialogue", size="sm", min_width=120)
        status = gr.HTML("", elem_id="status")
        results = gr.HTML("", elem_id="results")
        command = gr.Textbox(elem_id="command", label="what the results ask for")
        gr.Markdown(MEANING.format(trained_on=trained_on(classifier.card), unsure=UNSURE), elem_id="meaning")
        listening: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "listen", "show_progress_on": status}
        listening |= PRIVATE
        microphone.stop_recording(own.add_recording, microphone, [results, status, microphone], **listening)
        files.upload(own.add_files, files, [results, status, files], **listening)
        for path, button in zip(SAMPLES, samples):
            button.click(_event(own.add_sample, path), None, [results, status], **listening)
        dialogue.click(_event(own.add_dialogue), None, [results, status], **listening)
        command.change(own.act, command, [results, status], **QUIET)
        page.load(_event(_visit), None, visit, **QUIET)
        page.load(js=ON_LOAD)
    return page


def _title(path: Path) -> str:
    return path.stem.removeprefix("synthetic_").replace("_", ", ")


def open_page(page: gr.Blocks, *, port: int | None = None, browser: bool = True) -> str:
    """Serves the page to this machine until `page.close()` or the program's end, and returns its address.

    Without a port it is the first free one from 7860 on. Raises OSError where the port is taken.
    """
    system_fonts: dict[str, Any] = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
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
        max_file_size=MOST_BYTES,
        theme=gr.themes.Default(primary_hue="blue", neutral_hue="slate", **system_fonts),
        css=STYLE,
        app_kwargs={
            "middleware": [
                Middleware(TrustedHostMiddleware, allowed_hosts=[ADDRESS, "localhost"]),
                Middleware(with_guard, folder=UPLOADS),
            ]
        },
    )
    return address
