"""Benchmarks: networks, schemes, data sets and seeds crossed, trained, scored and put into tables.

A grid is a TOML file (:mod:`~infraspot.benchmark.grid`). It expands into cells, one training each, which are
trained and scored in processes of their own (:mod:`~infraspot.benchmark.running`) and become tables with
intervals, paired tests and the papers' figures (:mod:`~infraspot.benchmark.tables`).
"""

from infraspot.benchmark.grid import Cell, Grid, find_grid, load_grid
from infraspot.benchmark.running import Standing, run_grid
from infraspot.benchmark.tables import tables_of, write_tables

__all__ = [
    "Cell",
    "Grid",
    "Standing",
    "find_grid",
    "load_grid",
    "run_grid",
    "tables_of",
    "write_tables",
]
