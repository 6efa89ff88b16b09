"""How `outvote demo` is shown: a live screen on a terminal, one plain line an event everywhere else."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from outvote.cli.demo_report import COMMAND_WIDTH, COMMANDS, COUNTER, DemoReport, summary
from outvote.types import MILLISECOND, Nanos

Mood = Literal["plain", "good", "bad", "proud"]

STYLES: Final[dict[Mood, str]] = {"plain": "", "good": "green", "bad": "red", "proud": "bold green"}
MARKS: Final[dict[Mood, str]] = {"plain": "·", "good": "✓", "bad": "✗", "proud": "★"}
EVENTS_SHOWN: Final = 8
WIDTH_MIN: Final = 90  # of the terminal, for the live display; smaller ones get lines
WIDTH_MAX: Final = 110  # longer lines read badly
HEIGHT_MIN: Final = 29
COLUMNS: Final = (("replica", 7), ("role", 8), ("view", 4), ("position", 8), ("state digest", 19))
BARS: Final = "▁▂▃▄▅▆▇█"
ACTS: Final = 7
BIG: Final = {
    "0": ("█▀█", "█ █", "▀▀▀"), "1": ("▀█ ", " █ ", "▀▀▀"), "2": ("▀▀█", "█▀▀", "▀▀▀"),
    "3": ("▀▀█", " ▀█", "▀▀▀"), "4": ("█ █", "▀▀█", "  ▀"), "5": ("█▀▀", "▀▀█", "▀▀▀"),
    "6": ("█▀▀", "█▀█", "▀▀▀"), "7": ("▀▀█", "  █", "  ▀"), "8": ("█▀█", "█▀█", "▀▀▀"),
    "9": ("█▀█", "▀▀█", "▀▀▀"),
}  # fmt: skip


class Row(NamedTuple):
    """One replica."""

    replica: int
    role: str
    view: str
    position: str
    digest: str
    equal: bool | None
    doing: str
    mood: Mood


class Picture(NamedTuple):
    """Everything that changes by itself."""

    rows: list[Row]
    rate: float
    latency: Nanos
    bars: list[int]
    acknowledged: int
    wrong: int
    outvoted: int


class Stage(ABC):
    """What the acts speak to."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    @abstractmethod
    def act(self, number: int, title: str) -> None:
        """A new act; 0 is before the first."""

    @abstractmethod
    def say(self, story: str) -> None:
        """The line of the story that is true from now on."""

    @abstractmethod
    def event(self, text: str, mood: Mood = "plain") -> None:
        """Something that happened."""

    def draw(self, picture: Picture) -> None:  # noqa: B027 - lines have no picture
        """Called several times a second."""

    @abstractmethod
    def finish(self, report: DemoReport, report_path: str) -> None:
        """The table, the verdict, and what to try next."""

    def close(self) -> None:  # noqa: B027 - nothing to give back without a screen
        """Give the terminal back. May be called twice."""


class PlainStage(Stage):
    """Lines without control codes, for files, pipes and continuous integration."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write

    def act(self, number: int, title: str) -> None:
        self._line(f"ACT {number} of {ACTS}: {title}" if number else title)

    def say(self, story: str) -> None:
        self._line(story)

    def event(self, text: str, mood: Mood = "plain") -> None:
        self._line(f"{'FAILED: ' if mood == 'bad' else ''}{text}")

    def finish(self, report: DemoReport, report_path: str) -> None:
        for name, value, _ in summary(report):
            self._write(f"  {name:<26}{value}")
        for complaint in report.complaints:
            self._write(f"  FAILED: {complaint}")
        self._write(f"{'PASSED: ' + _moral(report) if report.ok else 'The demo found something wrong.'}")
        self._write(f"report written to {report_path}")
        if not report.ok:
            return
        self._write("Try next, with a class of your own in counter.py:")
        for line in COUNTER.split("\n"):
            self._write(f"    {line}" if line else "")
        for command, meaning in COMMANDS:
            self._write(f"  {command:<{COMMAND_WIDTH}}{meaning}")

    def _line(self, text: str) -> None:
        self._write(f"[{self.seconds:5.1f} s] {text}")


class LiveStage(Stage):
    """The screen; drawn where the cursor stands, so that it stays in the scrollback."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._title = "starting"
        self._story = ""
        self._events: deque[tuple[float, str, Mood]] = deque(maxlen=EVENTS_SHOWN)
        self._picture = Picture([], 0.0, 0, [], 0, 0, 0)
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._live.start()

    def act(self, number: int, title: str) -> None:
        self._title = f"act {number} of {ACTS}: {title}" if number else title
        self._refresh()

    def say(self, story: str) -> None:
        self._story = story
        self._refresh()

    def event(self, text: str, mood: Mood = "plain") -> None:
        self._events.append((self.seconds, text, mood))
        self._refresh()

    def draw(self, picture: Picture) -> None:
        self._picture = picture
        self._refresh()

    def finish(self, report: DemoReport, report_path: str) -> None:
        self.close()
        console = self._console
        table = Table(box=None, show_header=False, padding=(0, 2))
        for name, value, right in summary(report):
            style = "" if right is None else "bold green" if right else "bold red"
            table.add_row(name, Text(value, style))
        width = min(console.width, WIDTH_MAX)
        console.print(Panel(table, title="what was measured", title_align="left", border_style="dim", width=width))
        for complaint in report.complaints:
            console.print(Text(f"✗ {complaint}", "bold red"))
        if report.ok:
            console.print(Text(f"★ {_moral(report)}", "bold green"))
        console.print(Text(f"  The whole report: {report_path}\n", "dim"))
        if not report.ok:
            return
        console.print(Text("Try next, with a class of your own in counter.py:\n", "bold"))
        console.print(_code(COUNTER))
        console.print()
        for command, meaning in COMMANDS:
            console.print(Text.assemble((f"  {command:<{COMMAND_WIDTH}}", "cyan"), (meaning, "dim")))

    def close(self) -> None:
        if self._live.is_started:
            self._refresh()
            self._live.stop()

    def _refresh(self) -> None:
        if self._live.is_started:
            self._live.update(self._screen(), refresh=True)

    def _screen(self) -> RenderableType:
        picture = self._picture
        width = min(self._console.width, WIDTH_MAX)
        story = Panel(
            _fixed(Text(self._story), 3, width - 4, self._console),
            title=f"[bold]outvote demo[/bold] · {self._title}",
            title_align="left",
            subtitle=f"{self.seconds:.0f} s",
            subtitle_align="right",
            border_style="cyan",
            width=width,
        )
        middle = Table.grid(padding=(0, 1))
        middle.add_row(
            Panel(self._figures(picture), title="clients", title_align="left", border_style="dim", width=width - 33),
            Panel(_big(picture), title="wrong replies", title_align="left", border_style="dim", width=32),
        )
        return Group(story, middle, _replicas(picture.rows, width), self._happened(width))

    def _figures(self, picture: Picture) -> Text:
        latency = f"{picture.latency / MILLISECOND:.1f} ms" if picture.latency else "-"
        return Text.assemble(
            (f"{picture.rate:>7,.0f}", "bold"), " operations/s     latency ",
            (latency, "bold"), "\n", (sparkline(picture.bars), "cyan"), "\n",
            (f"{picture.acknowledged:>7,}", "bold"), " acknowledged, each by f + 1 = 2 equal answers",
        )  # fmt: skip

    def _happened(self, width: int) -> RenderableType:
        lines = Text(no_wrap=True, overflow="ellipsis")
        for number in range(EVENTS_SHOWN):
            if number < len(self._events):
                seconds, text, mood = self._events[number]
                lines.append(f"{seconds:5.1f} s ", "dim")
                lines.append(f"{MARKS[mood]} {text}", STYLES[mood])
            lines.append("\n" if number < EVENTS_SHOWN - 1 else "")
        return Panel(lines, title="what happened", title_align="left", border_style="dim", width=width)


def sparkline(bars: list[int]) -> str:
    """One character a bar; the highest bar is full, and only a zero is lowest."""
    top = max(bars, default=0)
    return "".join(BARS[-(-bar * (len(BARS) - 1) // top) if top else 0] for bar in bars)


def _big(picture: Picture) -> Text:
    style = "bold red" if picture.wrong else "bold green"
    digits = [BIG[digit] for digit in str(picture.wrong)]
    beside = ("", f"{picture.outvoted:,} forged", "replies outvoted")
    text = Text(no_wrap=True)
    for line in range(3):
        text.append("  " + " ".join(digit[line] for digit in digits), style)
        text.append(f"    {beside[line]}", "dim" if not picture.outvoted else "yellow")
        text.append("\n" if line < 2 else "")
    return text


def _replicas(rows: list[Row], width: int) -> RenderableType:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for name, size in COLUMNS:
        table.add_column(name, width=size, no_wrap=True, justify="right" if name in ("view", "position") else "left")
    left = width - 4 - 2 - sum(size + 2 for _, size in COLUMNS)  # 4: the panel's frame, 2: the padding
    table.add_column("what it does", width=left, no_wrap=True, overflow="ellipsis")
    for row in rows:
        digest = "green" if row.equal else "dim" if row.equal is None else "bold red"
        mark = " =" if row.equal else "" if row.equal is None else " ≠"
        table.add_row(
            str(row.replica), Text(row.role, "bold" if row.role == "primary" else ""), row.view, row.position,
            Text(row.digest + mark, digest), Text(row.doing, STYLES[row.mood]),
        )  # fmt: skip
    return Panel(table, title="replicas", title_align="left", border_style="dim", width=width)


def _fixed(text: Text, height: int, width: int, console: Console) -> Text:
    """Exactly so many lines, so that nothing below jumps when the story goes on."""
    lines = list(text.wrap(console, width))[:height]
    lines += [Text("")] * (height - len(lines))
    return Text("\n").join(lines)


def _moral(report: DemoReport) -> str:
    if {3, 5} <= set(report.acts):
        return "One of four lied, one was killed, and nobody was told a wrong word."
    return "Nobody was told a wrong word."


def _code(source: str) -> RenderableType:
    from rich.syntax import Syntax

    return Syntax(source, "python", theme="ansi_dark", background_color="default", padding=(0, 4))
