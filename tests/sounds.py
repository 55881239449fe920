"""A voice in the formats that people bring, made by FFmpeg."""

import io
from functools import partial

import av
import numpy as np
import soundfile

from speaker_gender.config import ROOT
from speaker_gender.sound.reading import read_signal

RATE = 16_000
VOICE = read_signal(ROOT / "nbs" / "my_wavs" / "synthetic_male_nine.wav", sample_rate=RATE)
SIGNAL = np.tile(np.pad(VOICE * 8_000 / np.abs(VOICE).max(), (0, 3_000)), 6)  # int16 scale, 5.9 s
SECONDS = len(SIGNAL) / RATE


def encoded(
    container: str,
    codec: str,
    *,
    signal: np.ndarray = SIGNAL,
    rate: int = RATE,
    bit_rate: int = 64_000,
    options: dict | None = None,
) -> bytes:
    """A signal as a file's bytes, by FFmpeg."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options or {}) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(signal.astype(np.int16)[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = RATE
        stream.bit_rate = bit_rate
        stream.codec_context.open()
        resampler = av.AudioResampler(stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or None)
        for converted in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(converted))
        output.mux(stream.encode(None))
    return file.getvalue()


def remuxed(container: str, *, signal: np.ndarray = SIGNAL) -> bytes:
    """A signal as FLAC in another container."""
    flac, file = io.BytesIO(), io.BytesIO()
    soundfile.write(flac, signal / 32_768, RATE, format="FLAC", subtype="PCM_16")
    flac.seek(0)
    with av.open(flac) as source, av.open(file, "w", format=container) as output:
        stream = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    return file.getvalue()


def film(container: str, *tracks: np.ndarray, picture: float = 0, late: float = 0, gap: tuple = ()) -> bytes:
    """Sounds as AAC tracks, which begin `late` seconds after the picture, and have no packets in a gap."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        video = output.add_stream("mpeg4", rate=5) if picture else None
        streams = [output.add_stream("aac", rate=RATE, layout="mono") for _ in tracks]
        if video:
            video.width = video.height = 32
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            for number in range(round(5 * picture)):
                frame.pts = number
                output.mux(video.encode(frame))
            output.mux(video.encode(None))
        for stream, track in zip(streams, tracks):
            frame = av.AudioFrame.from_ndarray(track.astype(np.int16)[np.newaxis], format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            resampler = av.AudioResampler("fltp", layout="mono", rate=RATE, frame_size=1_024)
            sounds = [*resampler.resample(frame), *resampler.resample(None)]
            for packet in [packet for sound in [*sounds, None] for packet in stream.encode(sound)]:
                time = float(packet.pts * packet.time_base)
                if not gap or not gap[0] <= time < gap[1]:
                    packet.pts = packet.dts = packet.pts + round(late / packet.time_base)
                    output.mux(packet)
    return file.getvalue()


AMR = {"rate": 8_000, "bit_rate": 12_200}
FORMATS = {
    "m4a": partial(encoded, "mp4", "aac"),
    "3gp": partial(encoded, "3gp", "aac"),
    "3gp with amr": partial(encoded, "3gp", "libopencore_amrnb", **AMR),
    "amr": partial(encoded, "amr", "libopencore_amrnb", **AMR),
    "aac": partial(encoded, "adts", "aac"),
    "webm": partial(encoded, "webm", "libopus", rate=48_000),
    "opus": partial(encoded, "ogg", "libopus", rate=48_000),
    "wma": partial(encoded, "asf", "wmav2"),
    "ogg flac": partial(remuxed, "ogg"),
    "mka": partial(remuxed, "matroska"),
    "mp3": partial(encoded, "mp3", "libmp3lame"),
    "mov": partial(encoded, "mov", "pcm_s16le"),
}


def similar(signal: np.ndarray, reference: np.ndarray = SIGNAL) -> float:
    """Highest correlation with the reference over shifts of up to 0.2 s."""
    n = min(len(signal), len(reference))
    spectra = np.fft.rfft(signal[:n], 2 * n) * np.conj(np.fft.rfft(reference[:n], 2 * n))
    correlation = np.fft.irfft(spectra)
    near = np.concatenate([correlation[: RATE // 5], correlation[-RATE // 5 :]])
    return near.max() / (np.linalg.norm(signal[:n]) * np.linalg.norm(reference[:n]))
