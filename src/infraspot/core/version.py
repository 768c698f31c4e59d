"""The version of infraspot; the package and its metadata take it from here."""

VERSION = "0.1.0"
