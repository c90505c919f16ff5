import io
import json

from lira_runtime.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_progress_is_one_object_a_line() -> None:
    stream = io.StringIO()
    with Progress(2, "denoising", json=True, stream=stream) as progress:
        progress.advance(note="a")
        progress.advance()
    first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (first["event"], first["label"], first["done"], first["total"], first["note"]) == (
        "progress",
        "denoising",
        1,
        2,
        "a",
    )
    assert second["done"] == 2


def test_a_pipe_gets_few_plain_lines_and_the_last_one() -> None:
    stream = io.StringIO()
    with Progress(1000, "denoising", stream=stream) as progress:
        for _ in range(1000):
            progress.advance()
    lines = stream.getvalue().splitlines()
    assert 2 <= len(lines) <= 6
    assert "1000/1000" in lines[-1]
    assert "\r" not in stream.getvalue()


def test_a_terminal_gets_one_line_that_is_redrawn_and_ended() -> None:
    stream = Terminal()
    with Progress(4, "denoising", stream=stream) as progress:
        for _ in range(4):
            progress.advance()
    assert stream.getvalue().count("\r") == 4
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("\n")


def test_a_warning_is_a_json_line_a_plain_line_or_takes_the_bar_s_place() -> None:
    seen = []
    for stream, json_lines in ((io.StringIO(), True), (io.StringIO(), False), (Terminal(), False)):
        Progress(4, "encode", json=json_lines, stream=stream).warn("a.png is too small.")
        seen.append(stream.getvalue())
    assert json.loads(seen[0]) == {"event": "note", "text": "a.png is too small.", "level": "warning"}
    assert seen[1:] == ["warning: a.png is too small.\n", "\r\x1b[2Kwarning: a.png is too small.\n"]
