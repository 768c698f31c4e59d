"""Detectors of boxes: one file per method, made of exchangeable parts."""
