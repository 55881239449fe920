"""The notebooks themselves: each runs on a tiny demo corpus, twice, and the committed ones are one clean run each."""

import ast
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import nbformat
import psutil
import pytest
from IPython.core.inputtransformer2 import TransformerManager

import run_notebooks
from speaker_gender.config import ROOT
from speaker_gender.corpora.audiomnist import METADATA, load_recordings
from speaker_gender.images.maps import map_images, write_maps

NOTEBOOKS = sorted((ROOT / "nbs").glob("[0-9][0-9]_*.ipynb"))


def run(*arguments, workspace, **environment):
    return subprocess.run(
        [sys.executable, "scripts/run_notebooks.py", *arguments],
        cwd=ROOT,
        env=os.environ | {"WORKSPACE": str(workspace)} | environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    workspace = tmp_path_factory.mktemp("smoke")
    return workspace, run("--smoke", workspace=workspace)


@pytest.mark.slow
def test_every_notebook_runs_on_a_tiny_demo_corpus(smoke):
    workspace, finished = smoke
    assert finished.returncode == 0, finished.stderr[-2000:]
    for path in NOTEBOOKS:
        executed = nbformat.read(workspace / "results/demo/notebooks" / path.name, as_version=4)
        counts = [cell.execution_count for cell in executed.cells if cell.cell_type == "code"]
        assert counts == list(range(1, len(counts) + 1))
        assert (workspace / "results/demo/notebooks" / f"{path.stem}.html").stat().st_size > 10_000


@pytest.mark.release
@pytest.mark.slow
def test_a_second_run_makes_no_image_and_no_model_again(smoke):
    workspace, _ = smoke
    model = workspace / "results/demo/models/mfc_random_seed1.safetensors"
    before = model.stat().st_mtime_ns, {path: path.stat().st_mtime_ns for path in workspace.glob("mfc_dataset/demo/*")}
    finished = run("--smoke", "02", "03", workspace=workspace)
    assert finished.returncode == 0
    after = model.stat().st_mtime_ns, {path: path.stat().st_mtime_ns for path in workspace.glob("mfc_dataset/demo/*")}
    assert before == after


@pytest.mark.slow
def test_a_run_leaves_the_project_alone(smoke):
    status = subprocess.run(
        ["git", "status", "--porcelain", "nbs", "pngs", "maps", "results"], cwd=ROOT, capture_output=True, text=True
    )
    workspace, _ = smoke
    assert (workspace / "maps/demo/female.json").exists()
    assert "demo" not in status.stdout


@pytest.mark.slow
@pytest.mark.parametrize("has_kernel", [False, True], ids=["before the kernel", "as it starts"])
def test_ctrl_c_ends_the_run_in_one_line(smoke, has_kernel):
    workspace, _ = smoke
    running = subprocess.Popen(
        [sys.executable, "scripts/run_notebooks.py", "--smoke", "01"],
        cwd=ROOT,
        env=os.environ | {"WORKSPACE": str(workspace)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's children ignore it
    )
    while "01_eda" not in running.stdout.readline():
        pass
    while has_kernel and not psutil.Process(running.pid).children():
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=300)
    assert running.returncode == 130
    assert "Stopped. The same command goes on from here" in told and "Traceback" not in told


SOLUTIONS = sorted((ROOT / "nbs" / "solutions").glob("*.py"))


@pytest.fixture(scope="module")
def solved(smoke):
    """All solutions, two at a time: most of what each takes is to import, which one core does."""
    environment = os.environ | {"WORKSPACE": str(smoke[0]), "SMOKE": "1", "CORPUS": "demo"}

    def solve(path):
        return subprocess.run([sys.executable, path], cwd=ROOT, env=environment, capture_output=True, text=True)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(SOLUTIONS, pool.map(solve, SOLUTIONS)))


@pytest.mark.release
@pytest.mark.slow
@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_the_solutions_of_the_exercises_run(solved, path):
    assert solved[path].returncode == 0, solved[path].stderr[-2000:]
    assert len(solved[path].stdout.splitlines()) >= 3


def test_every_notebook_has_exercises_and_their_solutions():
    assert [path.stem for path in SOLUTIONS] == [path.stem for path in NOTEBOOKS]
    for path in NOTEBOOKS:
        (exercises,) = (
            cell.source for cell in nbformat.read(path, as_version=4).cells if cell.source.startswith("## Exercises")
        )
        solution = (ROOT / "nbs" / "solutions" / f"{path.stem}.py").read_text(encoding="utf-8")
        for number in (1, 2, 3):
            assert f"\n{number}. " in exercises and f"# {number}. " in solution
        assert f"solutions/{path.stem}.py" in exercises


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_cut_into_short_cells(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell.source.splitlines() for cell in cells if cell.cell_type == "code"]
    assert max(map(len, code)) <= 20
    assert statistics.median(sum(bool(line.strip()) for line in lines) for lines in code) <= 6
    assert max(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown") <= 120


def headings_of(path):
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    return text, {
        line.lstrip("#").strip().replace("`", "").replace(" ", "-") for line in re.findall("^#+ .*", text, re.M)
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebooks_links_to_headings_lead_somewhere(path):
    for other, heading in re.findall(r"\]\(([\w.]*ipynb)?#([^)\s]*)\)", headings_of(path)[0]):
        assert heading in headings_of(path.with_name(other) if other else path)[1], heading


def test_a_corpus_of_few_speakers_goes_without_the_notebook_that_divides_them(buzz_corpus, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(run_notebooks, "run_notebook", lambda path, output, in_place: ran.append(path.name[:2]) or True)
    monkeypatch.setenv("CORPUS", str(buzz_corpus.folder))
    monkeypatch.setattr("sys.argv", ["run_notebooks.py"])
    metadata = json.loads((buzz_corpus.folder / METADATA).read_text())
    metadata |= {"05": {"gender": "male"}, "06": {"gender": "female"}}  # who have no recordings
    (buzz_corpus.folder / METADATA).write_text(json.dumps(metadata))
    write_maps(buzz_corpus, map_images(load_recordings(buzz_corpus)))
    assert run_notebooks.main() == 0
    assert ran == ["01", "02", "03", "04", "07"]
    told = capsys.readouterr().out
    for name in ("05_unseen_speakers", "06_pitch"):
        assert f"{name}.ipynb: left out, it takes 3 speakers of each gender" in told


def test_a_corpus_of_one_gender_is_told_in_one_line(buzz_corpus, monkeypatch, capsys):
    metadata = json.loads((buzz_corpus.folder / METADATA).read_text())
    (buzz_corpus.folder / METADATA).write_text(json.dumps({key: {"gender": "male"} for key in metadata}))
    monkeypatch.setenv("CORPUS", str(buzz_corpus.folder))
    monkeypatch.setattr("sys.argv", ["run_notebooks.py"])
    assert run_notebooks.main() == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "speakers of one gender only" in told


def test_without_metadata_the_maps_tell_who_speaks(buzz_corpus, monkeypatch):
    write_maps(buzz_corpus, map_images(load_recordings(buzz_corpus)))
    (buzz_corpus.folder / METADATA).unlink()
    assert run_notebooks.has_few_speakers(buzz_corpus)
    monkeypatch.setattr(run_notebooks, "LEAST_SPEAKERS", 2)
    assert not run_notebooks.has_few_speakers(buzz_corpus)


def test_to_recompute_is_to_recompute_what_is_older_than_the_run(buzz_corpus, monkeypatch):
    wanted = []
    monkeypatch.setattr(run_notebooks, "run_notebook", lambda *_, **__: wanted.append(os.environ["RECOMPUTE"]) or True)
    monkeypatch.setenv("CORPUS", str(buzz_corpus.folder))
    monkeypatch.setenv("RECOMPUTE", "1")
    monkeypatch.setattr("sys.argv", ["run_notebooks.py", "01", "03"])
    before = int(time.time())
    assert run_notebooks.main() == 0
    assert len(set(wanted)) == 1 and before <= int(wanted[0]) <= time.time()


@pytest.mark.slow
def test_the_run_stops_at_a_failing_cell_and_shows_it(tmp_path, capsys):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in ("1 + 1", "raise ValueError('broken here')", "print(3)")]
    )
    nbformat.write(notebook, tmp_path / "01_fails.ipynb")
    assert not run_notebooks.run_notebook(tmp_path / "01_fails.ipynb", tmp_path / "out", in_place=True)
    told = capsys.readouterr().err
    assert "01_fails.ipynb, cell [2]" in told and "ValueError: broken here" in told
    assert nbformat.read(tmp_path / "01_fails.ipynb", as_version=4).cells[0].outputs == []


@pytest.mark.slow
def test_a_corpus_that_is_none_is_one_line_and_exit_status_1(tmp_path):
    finished = run(workspace=tmp_path, CORPUS=str(tmp_path))
    assert finished.returncode == 1 and finished.stderr.count("\n") == 1
    assert "not a corpus in AudioMNIST's layout" in finished.stderr


@pytest.mark.slow
def test_an_unknown_notebook_is_wrong_usage(tmp_path):
    assert run("99", workspace=tmp_path).returncode == 2


def test_progress_bars_go_and_what_they_leave_stays():
    stream = nbformat.v4.new_output("stream", name="stderr", text="\r 10%\r 90%\r     \rkept\n\r100%\r    ")
    bar = nbformat.v4.new_output("display_data", data={"text/html": "<style>p {}</style><div></div>"})
    table = nbformat.v4.new_output("display_data", data={"text/html": "<table><td>1</td></table>"})
    cell = nbformat.v4.new_code_cell("x", outputs=[stream, bar, table])
    run_notebooks.tidy(nbformat.v4.new_notebook(cells=[cell]))
    assert [output.output_type for output in cell.outputs] == ["stream", "display_data"]
    assert cell.outputs[0].text.strip() == "kept"


def test_no_sound_is_committed():
    player = nbformat.v4.new_output(
        "display_data", data={"text/html": "<audio src='data:audio/wav;base64,xx'></audio>"}
    )
    cell = nbformat.v4.new_code_cell("x", outputs=[player])
    run_notebooks.for_readers(nbformat.v4.new_notebook(cells=[cell]))
    assert "audio/wav" not in nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_committed_notebook_is_one_clean_run_on_audiomnist(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    text = nbformat.writes(notebook)
    # Notebook 07 reads no corpus; of recordings only those that come with the project may have been in its run.
    if path.stem.startswith("07"):
        assert "Model: gender" in text and "my_wavs" in text
        told = "".join(output.get("text", "") for output in outputs if "crosses 0.5 with" in output.get("text", ""))
        assert told and all(line.startswith("synthetic_") for line in told.splitlines())
        assert "unreadable" not in text and "is empty" not in text, "a file of this machine was in the run"
    else:
        assert "Corpus: AudioMNIST" in text
    assert "<audio" not in text and not re.search(r"/(?:home|root|tmp|Users|work)/", text)


PROGRAMS = {path.stem for path in (ROOT / "scripts").iterdir()} - {"speaker_gender"}  # with studies and upkeep


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_imports_from_the_library_and_from_packages_only(path):
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    code = "\n".join(map(TransformerManager().transform_cell, cells))  # without magics
    imported = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.partition(".")[0])
    assert "speaker_gender" in imported and "studies" in PROGRAMS
    assert not imported & PROGRAMS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_every_figure_of_a_committed_notebook_is_a_picture(path):
    outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
    shown = [output.data for output in outputs if "<Figure size" in output.get("data", {}).get("text/plain", "")]
    assert shown and all("image/png" in data for data in shown)


@pytest.mark.release
@pytest.mark.slow
def test_the_three_commands_for_colab_bring_what_classifies_and_no_pytorch(tmp_path):
    cell = nbformat.read(NOTEBOOKS[-1], as_version=4).cells[1].source
    commands = [line.strip()[1:] for line in cell.splitlines() if line.strip().startswith(("!", "%"))]
    clone, cd, install = (command.replace("<address of this repository>", str(ROOT)) for command in commands)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "colab"], check=True)
    classify = "python scripts/classify_wavs.py nbs/my_wavs && ! python -c 'import torch'"
    ended = subprocess.run(
        ["bash", "-c", f". colab/bin/activate; {clone} && {cd} && {install} && {classify}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert "synthetic_female_seven.wav" in ended.stdout
