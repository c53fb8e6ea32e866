"""webinfer's pool in the program's own process."""

import asyncio

from fixed_web_platform.resource_pool_bridge import ResourcePoolBridgeIntegration

MODELS = {"text": "sentences-bert", "image": "digits-vit", "sound": "tones-whisper"}
TYPES = {"text": "text_embedding", "image": "vision", "sound": "audio"}
AT_ONCE = 16


def start(**_):
    global pool, models
    chrome = dict.fromkeys(TYPES.values(), "chrome")
    pool = ResourcePoolBridgeIntegration(max_connections=1, browser_preferences=chrome)
    asyncio.run(pool.initialize())
    models = {
        kind: asyncio.run(pool.get_model(TYPES[kind], name, {"priority_list": ["cpu"]}))
        for kind, name in MODELS.items()
    }


def answer(kind, item):
    output = models[kind](item)["output"]
    if kind == "text":
        return list(map(float, output["embedding"]))
    return output["labels"][0]["label"] if kind == "image" else output["text"]


def stop():
    asyncio.run(pool.close())
