"""What follows from the end of a task, and how good a run is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.runs.states import Figures, TaskState, TaskStatus, course_of, is_hung, reason_of_failure


def task(number: int, status: TaskStatus = "pending", needs: str = "", *, is_ready: bool = False) -> TaskState:
    return TaskState(number, f"t{number}", status, tuple(needs.split()), is_ready)


def test_a_task_is_ready_once_all_that_it_needs_is_completed() -> None:
    tasks = [task(1, "completed"), task(2, "running"), task(3, needs="t1"), task(4, needs="t1 t2"), task(5)]

    course = course_of(tasks)

    assert (course.ready, course.cancelled, course.end) == ([3, 5], [], None)
    assert course.figures == Figures(total=5, completed=1, failed=0, cancelled=0)
    assert course_of([*tasks[:2], task(3, needs="t1", is_ready=True)]).ready == []


def test_what_needs_a_failed_task_is_cancelled_and_what_needs_that_too() -> None:
    tasks = [task(1, "failed"), task(2, needs="t3"), task(3, needs="t1", is_ready=True), task(4, "running")]

    course = course_of(tasks)

    assert (sorted(course.cancelled), course.ready, course.end) == ([2, 3], [], None)
    assert course.figures == Figures(total=4, completed=0, failed=1, cancelled=2)


@pytest.mark.parametrize(
    ("statuses", "end"),
    [
        (["completed"], "completed"),
        (["completed", "failed"], "failed"),
        (["completed"] * 49 + ["failed"], "completed"),
        (["completed"] * 48 + ["failed"], "failed"),
        (["completed", "cancelled"], "failed"),
        (["completed", "pending"], None),
        (["completed", "running"], None),
    ],
)
def test_a_run_ends_when_none_of_its_tasks_is_open(statuses: list[TaskStatus], end: str | None) -> None:
    assert course_of([task(number, status) for number, status in enumerate(statuses)]).end == end


def test_figures() -> None:
    figures = Figures(total=7, completed=4, failed=1, cancelled=1)

    assert (figures.open, figures.completion, figures.quality, figures.success_rate) == (1, 71, 57.14, 80.0)
    assert reason_of_failure(figures) == (
        "Quality is 57.14 %, and 98 % are needed: 4 of 7 tasks were completed, 1 failed, 1 were cancelled."
    )
    nothing = Figures(0, 0, 0, 0)
    assert (nothing.open, nothing.completion, nothing.quality, nothing.success_rate) == (0, 0, 0.0, 0.0)


def test_a_run_hangs_after_an_hour_without_a_move_unless_nearly_all_is_done() -> None:
    slow, nearly_done = Figures(10, 8, 0, 0), Figures(10, 8, 1, 0)

    assert [is_hung(slow, 3599), is_hung(slow, 3600), is_hung(nearly_done, 90_000)] == [False, True, False]


@st.composite
def runs(draw: st.DrawFn) -> list[TaskState]:
    """Tasks that need only earlier ones."""
    found: list[TaskState] = []
    for number in range(draw(st.integers(1, 12))):
        needs = draw(st.lists(st.sampled_from(found), unique=True, max_size=3)) if found else []
        found.append(TaskState(number, f"t{number}", "pending", tuple(each.key for each in needs), is_ready=False))
    return found


@given(runs(), st.randoms(use_true_random=False))
def test_whatever_happens_a_run_comes_to_its_end(tasks: list[TaskState], random: object) -> None:
    """In each round the tasks that are ready end in some way; no task is ever left that nobody can begin."""
    states = {each.id: each for each in tasks}
    for _ in range(len(tasks) + 1):
        course = course_of(list(states.values()))
        for task_id in course.cancelled:
            states[task_id] = states[task_id]._replace(status="cancelled")
        for task_id in course.ready:
            end = random.choice(["completed", "completed", "failed"])  # type: ignore[attr-defined]
            states[task_id] = states[task_id]._replace(status=end, is_ready=True)
        if course.end is not None:
            break
    assert course.end is not None
    assert course.figures.open == 0
    assert (course.end == "completed") == (course.figures.quality >= 98)
