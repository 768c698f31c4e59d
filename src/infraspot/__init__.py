"""infraspot: infrared small-target detection, from one click per target to a deployed detector."""

__version__ = "0.1.0"
