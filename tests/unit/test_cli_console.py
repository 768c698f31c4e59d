"""What the commands show, and where."""

from infraspot.cli.console import hear
from infraspot.core.errors import Caution, InputError, counted


def test_information_is_plain_and_only_doubts_are_warnings(capsys):
    hear("15 frames were read")
    hear(Caution("2 frames were passed over"))
    hear(InputError("a.png is damaged"))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "15 frames were read\nwarning: 2 frames were passed over\nerror: a.png is damaged\n"


def test_numbers_agree_with_their_nouns_and_verbs():
    assert [counted(number, "frame") for number in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
    assert [counted(number, "shot has", "shots have") for number in (1, 7)] == ["1 shot has", "7 shots have"]
