"""The time left over all stages of a run, and bars that someone else draws."""

from __future__ import annotations

import threading

import pytest

from bench.runtime.progress import Forecast, Stages, Step, bar, hand_on, heard_by, note, overheard_by, track


def test_what_is_left_is_judged_by_what_others_of_the_kind_took() -> None:
    kinds = [("train", "base"), ("refine a", "refine"), ("refine b", "refine"), ("refine a", "refine")]
    forecast = Forecast(dict(zip("tabc", kinds, strict=True)))
    assert forecast.left({"t": (5.0, 0.0)}) is None
    assert forecast.left({"t": (5.0, 0.5)}) == 5.0 + 3 * 10.0  # all that is known is the stage at work: 10 s
    forecast.ended("t", 100.0)
    assert forecast.left({}) == 300.0
    forecast.ended("a", 4.0)
    assert forecast.left({"b": (1.0, 0.0)}) == 3.0 + 4.0
    forecast.ended("b", 6.0)
    assert forecast.left({"c": (1.0, 0.25)}) == 3.0 + 0.0
    assert forecast.left({"c": (9.0, 0.0)}) == 0.0  # over time, and never below none
    forecast.ended("c", 4.0)
    assert forecast.left({}) == 0.0


def test_side_by_side_all_ends_sooner() -> None:
    forecast = Forecast({name: ("refine",) for name in "abcdef"}, jobs=2)
    forecast.ended("a", 10.0)
    assert forecast.left({"b": (5.0, 0.5), "c": (2.0, 0.0)}) == (5.0 + 8.0 + 3 * 10.0) / 2


def test_a_stage_that_failed_says_nothing_about_the_others() -> None:
    forecast = Forecast({"a": ("refine a",), "b": ("refine a",)})
    forecast.ended("a", None)
    assert forecast.left({"b": (0.0, 0.0)}) is None


def test_a_listener_hears_the_steps_and_the_notes(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[Step | str] = []
    with heard_by(heard.append):
        assert list(track(iter("abc"), "letters", total=3)) == ["a", "b", "c"]
        note("half-way")
        with bar("{task.fields[loss]}") as progress:
            task = progress.add_task("net[size=3]", total=8, loss="")
            progress.update(task, completed=4, loss="1.0")
    note("over")
    captured = capsys.readouterr()
    assert captured.err == "bench: over\n" and captured.out == ""
    assert "half-way" in heard and Step("net[size=3]", 4, 8) in heard
    assert any(isinstance(step, Step) and step.description == "letters" and step.total == 3 for step in heard)


def test_who_overhears_takes_nothing_away(capsys: pytest.CaptureFixture[str]) -> None:
    outer: list[Step | str] = []
    inner: list[Step | str] = []
    with overheard_by(inner.append):
        note("to the screen")
    with heard_by(outer.append), overheard_by(inner.append):
        note("to both")
        hand_on(Step("prn", 1, 2), "the stage")
    assert inner == ["to the screen", "to both", Step("prn", 1, 2, "the stage")] and outer == inner[1:]
    assert capsys.readouterr().err == "bench: to the screen\n"


def test_on_a_terminal_a_stage_that_begins_is_drawn_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes stderr for a terminal then
    heard = threading.Event()

    def hear() -> None:
        hand_on(Step("the stage", 0, None), "a")
        hand_on(Step("prn", 1, 2), "a")
        note("half-way")
        heard.set()

    with Stages({"a": ("refine prn", "refine")}) as shown:
        threading.Thread(target=hear, daemon=True).start()
        assert heard.wait(30)
        shown.ended("a", 1.0)
