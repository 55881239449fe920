#!/usr/bin/env python3
"""Run the numbered notebooks in order on the resolved corpus, each in a fresh kernel.

    python scripts/run_notebooks.py                 all of them
    python scripts/run_notebooks.py 01 03           these
    python scripts/run_notebooks.py --corpus DIR    on this corpus (see README)
    python scripts/run_notebooks.py --in-place      all, and refresh the committed notebooks with the outputs
    python scripts/run_notebooks.py --recompute     all, without any cache
    python scripts/run_notebooks.py --smoke         all, on a tiny demo corpus in a temporary folder (for tests)

Executed copies and their HTML go to results/<corpus>/notebooks/. The run stops at the first cell that fails.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[0]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
import html
import os
import re
import signal
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, wait

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter

ROOT = Path(__file__).resolve().parents[1]
OF_UNSEEN_SPEAKERS, LEAST_SPEAKERS = ("05", "06"), 3  # the notebooks that divide speakers into parts
PROGRESS = re.compile(r"<progress[^>]*></progress>([^<]*)")  # fastprogress's bars: what stands beside them


class StreamingClient(NotebookClient):
    """Runs a notebook and passes its progress bars and messages on to this terminal as they come."""

    def process_message(self, msg, cell, cell_index):
        """Show the kernel's message on this terminal, too."""
        content = msg["content"]
        if msg["msg_type"] == "stream":
            sys.stderr.write(content["text"])
        elif msg["msg_type"] in ("display_data", "update_display_data"):
            told = [label.strip() for label in PROGRESS.findall(content["data"].get("text/html", ""))]
            if any(told):
                line = html.unescape("  ".join(filter(None, told)))
                sys.stderr.write(f"\r{line:<79}\r")  # the next message overwrites it
        sys.stderr.flush()
        return super().process_message(msg, cell, cell_index)

    def execute_until_interrupted(self) -> None:
        """`execute` in a thread of its own: nbclient then leaves Ctrl-C to us, who end the kernel."""
        with ThreadPoolExecutor(1) as pool, tempfile.TemporaryFile() as said:
            running = pool.submit(self.execute, stderr=said)  # held back: a kernel that Ctrl-C meets says so at length
            try:
                running.result()
            except DeadKernelError:
                said.seek(0)
                sys.stderr.write(said.read().decode(errors="backslashreplace"))
                raise
            except KeyboardInterrupt:
                self._end_kernel(signal.SIGINT)  # lets it end its own workers
                if wait([running], timeout=10).not_done:
                    self._end_kernel(getattr(signal, "SIGKILL", signal.SIGTERM))
                raise

    def _cleanup_kernel(self) -> None:
        """Nbclient calls this at exit, too, and fails where the kernel is gone by then."""
        if self.km is not None:
            super()._cleanup_kernel()

    def _end_kernel(self, number: int) -> None:
        if self.km is not None and self.km.has_kernel:
            if hasattr(os, "killpg"):
                os.killpg(self.km.provisioner.pid, number)  # a kernel leads a group of its own
            else:
                os.kill(self.km.provisioner.pid, signal.SIGTERM)


def _set_environment(options: argparse.Namespace) -> None:
    """What the kernels get, and the project's modules, which are imported afterwards."""
    # fastai 2.8 compiles a function at import in a way that torch 2.14 warns of; no reader can do anything about it.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:`torch.jit.script` is deprecated:FutureWarning")
    # A thread that waits should not spin: training beside other programs would be several times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.pop("MPLBACKEND", None)  # a kernel draws into its notebook only where none is named
    os.environ.pop("JUPYTER_PATH", None)  # another python3 kernel may be there
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ["IPYTHONDIR"] = os.path.join(sys.prefix, "share", "ipython")  # nor does a user's startup file run
    if options.recompute or os.environ.get("RECOMPUTE") == "1":
        os.environ["RECOMPUTE"] = str(int(time.time()))  # what is older, so that no notebook repeats another's work
    if options.corpus:
        os.environ["CORPUS"] = options.corpus
    if options.smoke:
        os.environ |= {"SMOKE": "1", "CORPUS": "demo"}
        os.environ.setdefault("WORKSPACE", tempfile.mkdtemp(prefix="gender_smoke_"))


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", metavar="NUMBER", help="which to run, e.g. 01 03 (default: all)")
    parser.add_argument("--corpus", help="a folder or table, or demo (default: $CORPUS, or what is there)")
    parser.add_argument("--in-place", action="store_true", help="refresh the notebooks in nbs/ with the outputs")
    parser.add_argument("--recompute", action="store_true", help="use no cached result")
    parser.add_argument("--smoke", action="store_true", help="tiny demo corpus, one epoch, temporary folder")
    options = parser.parse_args()

    every = sorted((ROOT / "nbs").glob("[0-9][0-9]_*.ipynb"))
    chosen = [path for path in every if not options.notebooks or path.name[:2] in options.notebooks]
    unknown = sorted(set(options.notebooks) - {path.name[:2] for path in every})
    if unknown:
        parser.error(f"no notebook {unknown[0]} in nbs/; there are {' '.join(path.name[:2] for path in every)}")

    _set_environment(options)

    from speaker_gender.config import WORKSPACE, find_home
    from speaker_gender.corpora.corpus import CorpusError
    from speaker_gender.corpora.resolving import resolve_corpus

    find_home()
    if WORKSPACE.exists() and not os.access(WORKSPACE, os.W_OK):
        print(f"{WORKSPACE} cannot be written to: name a folder that can with WORKSPACE=FOLDER", file=sys.stderr)
        return 1
    try:
        corpus = resolve_corpus()
    except CorpusError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Corpus: {corpus.title}")
    started = time.perf_counter()
    for path in chosen:
        if path.name.startswith(OF_UNSEEN_SPEAKERS) and has_few_speakers(corpus):
            print(f"{path.name}: left out, it takes {LEAST_SPEAKERS} speakers of each gender")
            continue
        if not run_notebook(path, corpus.results / "notebooks", in_place=options.in_place):
            return 1
    print(f"Done in {time.perf_counter() - started:.0f} s; to read: {corpus.results / 'notebooks'}")
    return 0


def has_few_speakers(corpus) -> bool:
    """Whether the maps hold too few speakers of a gender to divide them; False where there are no maps."""
    from speaker_gender.config import GENDERS
    from speaker_gender.corpora.corpus import CorpusError
    from speaker_gender.images.maps import load_maps

    try:
        speakers = load_maps(corpus).groupby("gender")["speaker"].nunique()
    except CorpusError:
        return False  # the notebook says what is missing
    return speakers.reindex(GENDERS, fill_value=0).min() < LEAST_SPEAKERS


def run_notebook(path: Path, output: Path, *, in_place: bool) -> bool:
    """Executes one notebook and keeps the result; False, with the failing cell and its error on stderr, if it fails."""
    print(f"{path.name} …", flush=True)
    started = time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    client = StreamingClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--IPKernelApp.log_level=40"],  # errors only: a warning about local sockets helps no reader
    )
    failure = None
    try:
        client.execute_until_interrupted()
    except CellExecutionError:
        failure = next(cell for cell in notebook.cells if _errors(cell))
    except DeadKernelError:
        print(f"\n{path.name}: its kernel died; was there too little memory?", file=sys.stderr)
        return False
    tidy(notebook)
    save(notebook, output / path.name)
    if failure is not None:
        error = _errors(failure)[0]
        print(f"\n{path.name}, cell [{failure.execution_count}] failed:\n{failure.source}", file=sys.stderr)
        print(f"{error.ename}: {error.evalue}", file=sys.stderr)
        return False
    page, _ = HTMLExporter().from_notebook_node(notebook)
    write_text(output / f"{path.stem}.html", page)
    if in_place:
        save(for_readers(notebook), path)
    print(f"{path.name}: {time.perf_counter() - started:.0f} s", flush=True)
    return True


def _errors(cell) -> list:
    return [output for output in cell.get("outputs", []) if output.output_type == "error"]


def tidy(notebook) -> None:
    """Leaves in the outputs what a terminal or browser would still show at the end: no overwritten progress bars."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
        kept = []
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = "".join(line.split("\r")[-1] for line in output.text.splitlines(keepends=True))
                if not output.text.strip():
                    continue
            elif output.output_type == "display_data" and is_spent_progress_bar(output.data):
                continue
            kept.append(output)
        if cell.cell_type == "code":
            cell.outputs = kept


def is_spent_progress_bar(data: dict) -> bool:
    """Whether an output is a progress bar that has nothing more to say."""
    if "application/vnd.jupyter.widget-view+json" in data:
        return True
    markup = data.get("text/html")
    return markup is not None and not re.sub(r"<style>.*?</style>|<[^>]+>", "", markup, flags=re.DOTALL).strip()


def for_readers(notebook):
    """The notebook as it is committed: without recordings, which belong to their corpus, and lines on caches."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                lines = output.text.splitlines(keepends=True)
                output.text = "".join(line for line in lines if not line.startswith("From the cache: "))
            if "<audio" in output.get("data", {}).get("text/html", ""):
                output.data = {"text/plain": "(a player stands here when the notebook is run)"}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("text", "x").strip()]
    return notebook


def save(notebook, path: Path) -> None:
    """Write a notebook, whole or not at all."""
    write_text(path, nbformat.writes(notebook) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text, whole or not at all."""
    from speaker_gender.caching import write_atomically

    write_atomically(path, text)


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # for what its encoding lacks
    run_main(main)
