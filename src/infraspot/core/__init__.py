"""The words that every other part of infraspot speaks: samples, predictions, components, errors."""
