"""Weight files and their cards, conversion of published weights, pruning, and what a network costs."""

CARD = "infraspot"
"""Key of the card among the metadata of a weight file."""

PREPROCESSING = "stretch"
"""How frames are brought to the network, as cards name it: see :func:`infraspot.inference.prepare_frame`."""

SECOND_LOOK = "infraspot.second_look"
"""Key of the graph of the second look, in base64, among the metadata of an ONNX file."""
