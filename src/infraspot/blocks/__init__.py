"""The survey's words: attention, pyramids, fusion, context, local refinement, and the layers below them.

Each family has one interface and one literal dict: ATTENTION, PYRAMID, FUSION, CONTEXT and LOCAL.
"""
