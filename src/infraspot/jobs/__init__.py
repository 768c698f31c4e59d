"""Whole-folder work: list the inputs, do each, write the results, go on where a stopped run left off.

Each module holds one plain function with keyword options; the command line parses, calls it and prints.
"""
