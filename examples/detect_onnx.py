"""Candidates of an exported model by ONNX Runtime, numpy and Pillow alone: python detect_onnx.py MODEL IMAGE

It prints the pixels above the threshold of 8-bit frames with sides of up to 1024, before any second look, by
which `infraspot detect` leaves out most false targets.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image


def score(model: str, image: str) -> tuple[np.ndarray, float]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["infraspot"])
    frame = np.asarray(Image.open(image).convert("L"), np.float32) / 255
    height, width = frame.shape
    padding = ((0, -height % card["stride"]), (0, -width % card["stride"]))
    (scores,) = session.run(None, {"image": np.pad(frame, padding, mode="edge")[None, None]})
    return scores[0, 0, :height, :width], card["threshold"]


if __name__ == "__main__":
    scores, threshold = score(*sys.argv[1:])
    for y, x in np.argwhere(scores > threshold):
        print(x, y, f"{scores[y, x]:.4f}")  # noqa: T201
