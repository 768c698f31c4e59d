"""Weight files and their cards, conversion of published weights, pruning, and what a network costs."""

CARD = "infraspot"
"""Key of the card among the metadata of a weight file."""

PREPROCESSING = "stretch"
"""How frames are brought to the network, as cards name it: see :func:`infraspot.inference.prepare_frame`."""

SECOND_LOOK = "infraspot.second_look"
"""Key of the graph of the second look, in base64, among the metadata of an ONNX file."""

THRESHOLD = "infraspot.threshold"
"""Key of the card's threshold alone, as a number, for programs that do not read JSON."""

SELF_TEST = "infraspot.self_test"
"""Key of a small frame and its scores (:mod:`infraspot.inference.self_test`) among those metadata."""

LEFT_OUT = "infraspot.left_out"
"""Key of a sentence: what of the model the file does not hold."""
