"""The model that comes with the project: there, small, honest about itself, and made by code that repeats itself."""

import json

import numpy as np
import onnx
import pandas as pd
import pytest
import soundfile
import torch
from conftest import buzz

import classify_wavs
from speaker_gender.classifying.classifier import SHIPPED_MODEL, default_model, load_classifier
from speaker_gender.config import GENDERS, ROOT
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.judging import assessment, halves
from speaker_gender.learning import voices
from speaker_gender.learning.fusion import SpeakerEncoder
from speaker_gender.learning.networks import load_network, to_onnx
from speaker_gender.sound.reading import read_signal
from speaker_gender.sound.speech import speech_windows
from studies.shipped_model import ablate, assess, explain, labels, train

SAMPLES = sorted((ROOT / "nbs" / "my_wavs").glob("synthetic_*.wav"))


def test_a_fresh_clone_answers_for_the_recordings_that_come_with_it(capsys):
    assert default_model() == SHIPPED_MODEL and len(SAMPLES) == 4
    assert classify_wavs.main([*map(str, SAMPLES), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for answer in answers:
        assert answer["gender"] in GENDERS and answer["windows"] == 1


def test_it_is_small_and_its_card_says_what_it_is():
    for suffix in (".safetensors", ".onnx"):
        assert SHIPPED_MODEL.with_suffix(suffix).stat().st_size < 12_000_000
    card = load_classifier(SHIPPED_MODEL).card
    assert "resemblyzer" in card["encoder"]["name"] and "1710.10467" in card["encoder"]["paper"]
    assert card["view"] == "harmonic" and card["calibration"]["slope"] > 0 and len(card["seeds"]) > 1
    sources = {"audiomnist", "librispeech", "common_voice", "spoken_digits"}
    assert set(card["data"]) == sources, "nothing of the development sets"
    assert all(source["licence"] for source in card["data"].values())


def test_its_figures_are_there_with_and_without_the_doubtful_speakers():
    found = json.loads(SHIPPED_MODEL.with_name("gender_on_audiomnist_az.json").read_text(encoding="utf-8"))
    assert found["doubtful"] == ["13", "37"]
    for part, speakers in (("all", 59), ("without_doubtful", 57)):
        assert found[part]["by_speaker"]["speakers"] == speakers
        low, high = found[part]["recordings"]["intervals"]["balanced_accuracy"]
        assert low < found[part]["recordings"]["scores"]["balanced_accuracy"] < high


@pytest.fixture
def librispeech(tmp_path, monkeypatch, one_processor):
    """Eight readers in LibriSpeech's layout, the even ones female, two seconds each; an untrained encoder."""
    lines = [";ID |SEX| SUBSET | MINUTES | NAME"]
    for number in range(1, 9):
        female = number % 2 == 0
        lines.append(f"{number} | {'F' if female else 'M'} | train-clean-100 | 25.0 | Reader")
        folder = tmp_path / "train-clean-100" / str(number) / "7"
        folder.mkdir(parents=True)
        sound = buzz(210 if female else 120, seconds=2.0, sample_rate=16_000, seed=number)
        soundfile.write(folder / f"{number}-7-0000.flac", sound, 16_000)
    (tmp_path / "SPEAKERS.TXT").write_text("\n".join(lines))
    monkeypatch.setattr("speaker_gender.corpora.librispeech.LIBRISPEECH", tmp_path)
    monkeypatch.setattr("speaker_gender.corpora.common_voice.COMMON_VOICE", tmp_path / "none")
    for name in ("AUDIOMNIST", "SPOKEN_DIGITS", "LEFT_OUT"):
        monkeypatch.setattr(voices, name, tmp_path / "none")
    torch.manual_seed(0)
    encoder = SpeakerEncoder().eval()
    monkeypatch.setattr(train, "pretrained_encoder", lambda: encoder)
    return tmp_path


def test_readers_have_the_gender_of_the_speakers_file_and_some_are_kept_aside(librispeech):
    recordings = voices.training_recordings()
    assert len(recordings) == 8 and set(recordings["source"]) == {"librispeech"}
    female = recordings["speaker"].map(lambda speaker: int(speaker.split()[1]) % 2 == 0)
    assert ((recordings["gender"] == "female") == female).all()
    aside = recordings[recordings["part"] == "valid"]
    assert sorted(aside["gender"]) == ["female", "male"]


def test_only_speakers_drawn_for_validation_count_for_a_source_the_model_was_trained_on(librispeech, monkeypatch):
    drawn = voices.training_recordings()
    aside = set(drawn.loc[drawn["part"] == "valid", "speaker"])
    trained, kept = sorted(set(drawn["speaker"]) - aside)[0], sorted(aside)[0]
    listed = librispeech / "left_out.csv"
    listed.write_text(f"speaker\n{trained}\n{kept}\n")
    monkeypatch.setattr(voices, "LEFT_OUT", listed)
    readers = voices.librispeech_recordings()
    counted = assess.held_out(readers, "librispeech", SHIPPED_MODEL)
    assert set("librispeech " + counted["speaker"]) == aside, "the doubtful one among them, not the one left out"
    assert len(assess.held_out(readers, "another_corpus", SHIPPED_MODEL)) == len(readers)


def test_readers_whose_gender_the_speakers_file_does_not_tell_are_named(librispeech, capsys):
    lines = (librispeech / "SPEAKERS.TXT").read_text().splitlines()
    (librispeech / "SPEAKERS.TXT").write_text("\n".join(line for line in lines if not line.startswith("3 ")))
    assert "librispeech 3" not in set(voices.training_recordings()["speaker"])
    assert "the gender of 1 readers, left out: 3" in capsys.readouterr().out


def test_a_missing_speakers_file_is_one_line(librispeech):
    (librispeech / "SPEAKERS.TXT").unlink()
    with pytest.raises(CorpusError, match="SPEAKERS.TXT"):
        voices.training_recordings()


@pytest.mark.slow
def test_augmented_images_do_not_depend_on_the_number_of_workers(librispeech):
    recordings = voices.training_recordings()
    once, again = (voices.augmented_images(recordings, n_jobs=n) for n in (1, 2))
    for made, made_again in zip(once, again):
        np.testing.assert_array_equal(made, made_again)
    images, mels, rows = once
    assert mels.shape == (len(images), 100, 40) and np.isfinite(mels).all()
    assert images.shape[1:] == (112, 30) and len(images) % 8 == 0 and set(rows) == set(range(8))


@pytest.mark.slow
def test_a_recording_that_cannot_be_read_is_not_lost_in_silence(librispeech, monkeypatch):
    (librispeech / "train-clean-100" / "3" / "7" / "3-7-0000.flac").write_bytes(b"no sound")
    recordings = voices.training_recordings()
    with pytest.raises(CorpusError, match="3-7-0000.flac.*1 recordings cannot be read.*ACCEPT_LOST=1"):
        voices.augmented_images(recordings, n_jobs=1)
    monkeypatch.setenv("ACCEPT_LOST", "1")
    *_, rows = voices.augmented_images(recordings, n_jobs=1)
    assert len(set(rows)) == 7


@pytest.mark.slow
def test_training_writes_a_model_that_loads_with_a_calibrated_card(librispeech, tmp_path, monkeypatch):
    monkeypatch.setenv("SMOKE", "1")
    monkeypatch.setattr(train, "FOLDER", tmp_path / "shipped")
    monkeypatch.setattr("speaker_gender.config.RESULTS", tmp_path)
    card = train.train(voices.training_recordings(), "gender")
    classifier = load_classifier(tmp_path / "shipped" / "gender.safetensors")
    assert classifier.card["calibration"] == card["calibration"] and classifier.card["corpus"] == "librispeech"
    assert classifier.card["validation"]["librispeech"]["speakers"] == 2
    assert classifier.card["seeds"] == [int(seed) for seed in classifier.card["history"]]
    assert classifier.card["data"]["librispeech"]["recordings"] == 6, "those that it was trained on"
    listed = pd.read_csv(tmp_path / "shipped" / "gender_recordings.csv")
    assert listed["part"].value_counts().to_dict() == {"train": 6, "valid": 2} and listed["stamp"].is_unique


@pytest.mark.release
@pytest.mark.slow
def test_the_onnx_graph_is_the_same_of_a_network_just_trained_and_of_one_from_its_file():
    loaded, card = load_network(SHIPPED_MODEL)
    trained = load_network(SHIPPED_MODEL)[0].to(memory_format=torch.channels_last)  # as fastai's ChannelsLast leaves it
    exported = [onnx.load_from_string(to_onnx(network, card["image_size"])) for network in (trained, loaded)]
    for model in exported:  # PyTorch's first export in a process notes sizes there that its later ones leave out
        del model.graph.metadata_props[:]
    assert exported[0] == exported[1]


@pytest.mark.slow
def test_without_short_words_all_of_a_window_is_used(librispeech, monkeypatch):
    lengths = []

    def augment(speech, other, rng, *, without):
        lengths.append(len(speech))
        return rng.normal(size=15_999)

    monkeypatch.setattr(voices, "augment", augment)
    recordings = voices.training_recordings()
    signals = [read_signal(path, sample_rate=16_000) for path in recordings["path"]]
    windows = [len(window.signal) for signal in signals for window in speech_windows(signal, sample_rate=16_000)]
    voices.augmented_images(recordings, without="short words", n_jobs=1)
    copies = voices.SOURCES["librispeech"].images_per_window
    assert lengths == np.repeat(windows, copies).tolist()
    lengths.clear()
    monkeypatch.setattr(voices, "LONGEST_WORD", 0.5)  # seconds: no window is shorter
    voices.augmented_images(recordings, n_jobs=1)
    assert len(lengths) == copies * len(windows) and min(lengths) < min(windows)


def test_synthetic_voices_beside_those_of_people_only_train(librispeech, tmp_path, monkeypatch):
    monkeypatch.setenv("SMOKE", "1")
    monkeypatch.setattr(voices, "RESULTS", tmp_path)
    alone, both = voices.training_recordings(), voices.training_recordings(synthetic_too=True)
    assert set(both.loc[both["source"] == "synthetic", "part"]) == {"train"}
    people = both[both["source"] != "synthetic"].reset_index(drop=True)
    assert people.equals(alone), "the others are divided as they are without them"


@pytest.mark.release
def test_the_ablation_takes_the_model_apart_and_tests_every_half(
    librispeech, buzz_corpus, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("SMOKE", "1")
    monkeypatch.setattr(train, "FOLDER", tmp_path / "shipped")
    monkeypatch.setattr(ablate, "RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["ablate.py", str(buzz_corpus.folder)])
    assert ablate.main() == 0
    found = json.loads((tmp_path / "shipped" / "ablation.json").read_text())
    (models,) = found["rows"].values()
    assert list(models) == ["shipped", "without augmentation"]
    for rows in models.values():
        assert list(rows) == ["image alone", "encoder alone", "both halves"]
        assert all(row["speakers"] == 4 and row["images"] == row["at_8_khz"]["images"] == 24 for row in rows.values())
        assert rows["both halves"]["difference_from_both"]["difference"] == 0
    (errors,) = found["errors_by_half"].values()
    assert sum(row["recordings"] for row in errors.values()) == 24
    speakers = pd.read_csv(tmp_path / "shipped" / "halves.csv", dtype={"speaker": str})
    assert speakers["speaker"].tolist() == ["01", "02", "03", "04"]
    assert np.isfinite(speakers[["image_x", "image_y", "encoder_x", "encoder_y"]].to_numpy()).all()
    assert "encoder alone: balanced accuracy" in capsys.readouterr().out


def test_both_halves_are_what_the_classifier_answers(buzz_corpus):
    recordings = assessment.unseen_recordings(buzz_corpus, SHIPPED_MODEL).iloc[::6].reset_index(drop=True)
    heard, image_features, embeddings = halves.hear(SHIPPED_MODEL, recordings)
    answers = assessment.predict_recordings(SHIPPED_MODEL, recordings)
    np.testing.assert_allclose(heard[halves.BOTH], answers["p_female"], atol=1e-5)
    assert image_features.shape == (len(recordings), 3 * 128) and embeddings.shape == (len(recordings), 256)


def test_refusals_count_as_wrong_where_others_answer_everything():
    table = pd.DataFrame({"speaker": list("abcd"), "gender": ["female", "female", "male", "male"], "reason": None})
    table["p_female"] = [0.9, np.nan, 0.2, 0.1]
    found = assess.figures(table)
    assert found["recordings"]["scores"]["balanced_accuracy"] == 1 and found["recordings"]["images"] == 3
    assert found["balanced_accuracy_if_refused_is_wrong"] == 0.75


def test_the_auc_of_doubtful_labels_counts_their_confusions_only():
    table = pd.DataFrame({"speaker": list("abcd"), "gender": ["female", "female", "male", "male"]})
    table["p_female"] = [0.9, 0.6, 0.8, 0.7]
    assert assess.auc_of_doubtful(table, []) == 1
    assert assess.auc_of_doubtful(table, ["c"]) == 0.75, "c lies above one of two women"
    assert np.isnan(assess.auc_of_doubtful(table[2:], ["c"])), "one gender only"


def test_where_nothing_is_answered_it_says_so(buzz_corpus, monkeypatch, capsys):
    for path in buzz_corpus.folder.glob("*/*.wav"):
        soundfile.write(path, np.zeros(16_000), 16_000)
    monkeypatch.setattr("sys.argv", ["assess_shipped_model.py", str(buzz_corpus.folder)])
    assert assess.main() == 1
    assert "no recording was classified; the first: silence" in capsys.readouterr().err


def test_speakers_that_a_model_learned_from_are_not_asked_about(librispeech, buzz_corpus, tmp_path, monkeypatch):
    model = tmp_path / "other.safetensors"
    model.write_bytes(SHIPPED_MODEL.read_bytes())
    card = json.loads(SHIPPED_MODEL.with_suffix(".json").read_text()) | {"data": {"librispeech": {}, "buzz": {}}}
    model.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(CorpusError, match="other_recordings.csv: cannot be read"):
        assess.unseen_readers(model)
    rows = [f"librispeech,librispeech {number},{part}" for number, part in ((1, "train"), (2, "valid"), (3, "train"))]
    listed = model.with_name("other_recordings.csv")
    listed.write_text("\n".join(["source,speaker,part", *rows, "buzz,buzz 02,train"]))
    assert set(assess.unseen_readers(model)["speaker"]) == set("245678")
    assert set(assess.unseen_recordings(buzz_corpus, model)["speaker"]) == {"01", "03", "04"}
    listed.write_text("\n".join(["source,speaker,part", *(f"buzz,buzz 0{number},train" for number in range(1, 5))]))
    with pytest.raises(CorpusError, match="no recordings of speakers that other was not trained on"):
        assess.unseen_recordings(buzz_corpus, model)
    monkeypatch.setattr(assessment, "librispeech_recordings", pd.DataFrame)
    with pytest.raises(CorpusError, match="no recordings in it"):
        assess.unseen_readers(model)


def test_the_list_beside_the_shipped_model_agrees_with_its_card():
    card = json.loads(SHIPPED_MODEL.with_suffix(".json").read_text())
    heard = [assessment.seen_speakers(SHIPPED_MODEL, source) for source in card["data"]]
    assert sum(map(len, heard)) == card["speakers"]["train"]
    assert not assessment.seen_speakers(SHIPPED_MODEL, "audiomnist_az")


def test_a_doubtful_speaker_who_is_not_there_is_wrong_usage(buzz_corpus, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["assess_shipped_model.py", str(buzz_corpus.folder), "--doubtful", "1"])
    with pytest.raises(SystemExit, match="2"):
        assess.main()
    assert "no recordings of a speaker 1" in capsys.readouterr().err


@pytest.mark.slow
def test_a_corpus_can_be_asked_about_as_if_recorded_at_another_rate(buzz_corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(assess, "RESULTS", tmp_path)
    heard = []
    classify = assessment.classify_recordings

    def listen(classifier, paths):
        heard.extend((soundfile.info(path).samplerate, read_signal(path)) for path in paths)
        return classify(classifier, paths)

    monkeypatch.setattr(assessment, "classify_recordings", listen)
    monkeypatch.setattr("sys.argv", ["assess_shipped_model.py", str(buzz_corpus.folder), "--sample-rate", "8000"])
    assert assess.main() == 0
    assert {rate for rate, _ in heard} == {8_000} and len(heard) == 24
    own = [read_signal(path) for path in sorted(buzz_corpus.folder.glob("*/*.wav"))]
    assert all(len(signal) == pytest.approx(len(copy), abs=10) for (_, copy), signal in zip(heard, own))
    found = json.loads((tmp_path / "shipped" / "gender_on_buzz_at_8000_hz.json").read_text())
    assert found["sample_rate"] == 8_000
    monkeypatch.setattr("sys.argv", ["assess_shipped_model.py", str(buzz_corpus.folder), "--sample-rate", "800"])
    with pytest.raises(SystemExit, match="2"):
        assess.main()
    assert "should be 8000 to 48000 Hz" in capsys.readouterr().err


def test_a_label_that_the_voice_contradicts_as_much_as_others_bear_theirs_is_left_out():
    speakers = pd.DataFrame(
        {"gender": ["female", "female", "female", "male", "male", "male"], "p_female": [0.9, 0.8, 0.1, 0.2, 0.1, 0.95]}
    )
    # usual: 0.6 of female for women, 0.583 of male for men
    found = labels.contradicted(speakers)
    assert found.index.tolist() == [2, 5] and found["p_of_label"].round(6).tolist() == [0.1, 0.05]


def test_speakers_whose_label_is_contradicted_do_not_train(librispeech, tmp_path, monkeypatch):
    listed = tmp_path / "label_issues.csv"
    listed.write_text("speaker,gender,p_of_label\nlibrispeech 3,male,0.1\n")
    monkeypatch.setattr(voices, "LEFT_OUT", listed)
    assert "librispeech 3" not in set(voices.training_recordings()["speaker"])
    assert "librispeech 3" in set(voices.training_recordings(doubtful_too=True)["speaker"])


@pytest.mark.slow
def test_maps_of_the_shipped_model_are_compared_with_other_orders(buzz_corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(explain, "RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["explain.py", str(buzz_corpus.folder)])
    assert explain.main() == 0
    (row,) = json.loads((tmp_path / "shipped" / "grad_cam.json").read_text())["rows"].values()
    assert set(row["orders"]) == {"own map", "another image's map", "sound energy", "random"}
    assert row["orders"]["own map"]["above_own"] == 0 and 0 < row["padding"]["of_image"] < 1
    assert "area under the deletion curve" in capsys.readouterr().out
