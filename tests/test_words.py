"""Words that error messages share."""

from aelle.words import first_line, hint


def test_a_hint_names_the_nearest_word_or_all():
    assert hint("lstmm", ["rnn", "lstm"]) == "did you mean 'lstm'?"
    assert hint("x", ["b", "a"]) == "known: a, b"
    assert hint("x", []) == "known: none"


def test_the_first_line_of_an_error():
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(KeyError()) == "KeyError"
