"""Targets of a frame by a self-contained model, ONNX Runtime and NumPy: python detect_pixels.py MODEL FRAME

FRAME is a .npy file of uint8 or uint16, as the model takes it. A line is a target: x, y, area, score.
"""

import json
import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
texts = session.get_modelmeta().custom_metadata_map
card = json.loads(texts["infraspot"])
if "infraspot.left_out" in texts:
    print(f"left out of {sys.argv[1]}: {texts['infraspot.left_out']}", file=sys.stderr)  # noqa: T201
(scores,) = session.run(None, {"frame": np.load(sys.argv[2])[None, None]})
left = np.pad(np.where(scores[0, 0] > card["threshold"], scores[0, 0], 0), 1)
for start in np.argwhere(left):
    found, waiting = [], [tuple(start)]
    while waiting:
        y, x = waiting.pop()
        if left[y, x]:
            found.append((x - 1, y - 1, left[y, x]))
            left[y, x] = 0
            waiting += [(y + down, x + right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    if found:
        x, y, score = np.array(found, np.float64).T
        print(f"{x.mean():.2f} {y.mean():.2f} {len(found)} {score.max():.4f}")  # noqa: T201
