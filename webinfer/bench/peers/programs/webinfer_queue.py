"""webinfer through its queue; `webinfer up` is running."""

from webinfer import infer

MODELS = {"text": "sentences-bert", "image": "digits-vit", "sound": "tones-whisper"}
TYPES = {"text": "text_embedding", "image": "vision", "sound": "audio"}
AT_ONCE = 16


def start(**_):
    pass


def answer(kind, item):
    task = infer.delay(TYPES[kind], MODELS[kind], item, priority_list=["cpu"], browser="chrome")
    output = task.get(timeout=60)["output"]
    if kind == "text":
        return list(map(float, output["embedding"]))
    return output["labels"][0]["label"] if kind == "image" else output["text"]


def stop():
    pass
