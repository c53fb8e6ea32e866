"""onnxruntime in Python, without a browser: what pipelines do is written out."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile
from PIL import Image
from tokenizers import Tokenizer

MOST_TOKENS = 32


def start(models, **_):
    global bert, words, vit, labels, pixels, encoder, decoder, letters, first, end, filters
    models = Path(models)
    open_ = lambda name, part="model": onnxruntime.InferenceSession(models / name / f"onnx/{part}.onnx")
    read = lambda name, file: json.loads((models / name / file).read_text())
    bert, words = open_("sentences-bert"), Tokenizer.from_file(str(models / "sentences-bert/tokenizer.json"))
    words.no_padding()
    vit, labels = open_("digits-vit"), read("digits-vit", "config.json")["id2label"]
    pixels = read("digits-vit", "preprocessor_config.json")
    encoder, decoder = open_("tones-whisper", "encoder_model"), open_("tones-whisper", "decoder_model")
    letters = Tokenizer.from_file(str(models / "tones-whisper/tokenizer.json"))
    config, sounds = read("tones-whisper", "config.json"), read("tones-whisper", "preprocessor_config.json")
    first, end = config["decoder_start_token_id"], config["eos_token_id"]
    filters = mel_filters(sounds["feature_size"], sounds["n_fft"], sounds["sampling_rate"]), sounds


def mel_filters(n_mels, n_fft, rate):
    """Triangles on Slaney's mel scale, as Whisper's extractor has them."""
    step, bend = 200 / 3, 15.0
    to_hertz = lambda mel: np.where(mel < bend, mel * step, 1000 * np.exp(np.log(6.4) / 27 * (mel - bend)))
    top = bend + np.log(rate / 2 / 1000) * 27 / np.log(6.4)
    edges = to_hertz(np.linspace(0, top, n_mels + 2))
    bins = np.linspace(0, rate / 2, n_fft // 2 + 1)
    up = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(up, down)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def log_mel(samples):
    banks, config = filters
    n, hop = config["n_fft"], config["hop_length"]
    samples = np.pad(samples, (0, max(config["n_samples"] - len(samples), 0)))[: config["n_samples"]]
    framed = np.lib.stride_tricks.sliding_window_view(np.pad(samples, n // 2, "reflect"), n)[::hop]
    power = np.abs(np.fft.rfft(framed * np.hanning(n + 1)[:-1])) ** 2
    logs = np.log10(np.maximum(banks @ power.T[:, :-1], 1e-10))
    return ((np.maximum(logs, logs.max() - 8) + 4) / 4).astype(np.float32)[None]


def embed(text):
    ids = np.array([words.encode(text).ids])
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    hidden = bert.run(None, {each.name: feeds[each.name] for each in bert.get_inputs()})[0]
    pooled = hidden.mean(axis=1)[0]
    return (pooled / np.linalg.norm(pooled)).tolist()


def classify(path):
    size = pixels["size"]["width"], pixels["size"]["height"]
    image = np.asarray(Image.open(path).convert("RGB").resize(size, Image.Resampling.BILINEAR), np.float32)
    image = (image * pixels["rescale_factor"] - pixels["image_mean"]) / pixels["image_std"]
    logits = vit.run(None, {"pixel_values": image.transpose(2, 0, 1)[None].astype(np.float32)})[0]
    return labels[str(logits[0].argmax())]


def transcribe(path):
    samples, _ = soundfile.read(path, dtype="float32")
    hidden = encoder.run(None, {"input_features": log_mel(samples)})[0]
    tokens = [first]
    while len(tokens) < MOST_TOKENS and tokens[-1] != end:
        feeds = {"input_ids": np.array([tokens]), "encoder_hidden_states": hidden}
        tokens.append(int(decoder.run(None, feeds)[0][0, -1].argmax()))
    return letters.decode(tokens, skip_special_tokens=True)


def answer(kind, item):
    return {"text": embed, "image": classify, "sound": transcribe}[kind](item)


def stop():
    pass
