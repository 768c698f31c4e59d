"""The option of every command that loads weights: which code outside infraspot a file may import."""

import click

trust_option = click.option(
    "--trust",
    multiple=True,
    metavar="MODULE:CLASS",
    help="Let a weight file import this network class from outside infraspot; its code runs.",
)
