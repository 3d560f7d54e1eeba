"""The comparison with rivals: from canned turns to ratios, page and plot; what the proxy counts."""

import asyncio
import json
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.rivals.__main__ import read_turns
from benchmarks.rivals.conditions import Conditions
from benchmarks.rivals.contest import CONTENDERS, WORKS, Turn
from benchmarks.rivals.databases import Server
from benchmarks.rivals.figures import FIGURES, RAW, Comparison, compare
from benchmarks.rivals.page import number, rivals_page, spread
from benchmarks.rivals.plot import drawing, standing
from benchmarks.rivals.proxy import StatementCounter, proxy_to
from benchmarks.rivals.work import Dormitory, Sizes, Span

FAMILY = {one.name: one.family for one in CONTENDERS}
CONDITIONS = Conditions("2 CPUs", "CPython", {"fsync": "on"}, {"DBOS": "dbos 3.4.0"}, "1.0", "day")
SVG = "{http://www.w3.org/2000/svg}"


def turns(
    work: str, answers: Mapping[str, Sequence[dict[str, float] | None]], delay: float = 0.0
) -> list[Turn]:
    sizes = asdict(Sizes())
    return [
        Turn(
            number,
            work,
            delay,
            mode,
            FAMILY[mode],
            sizes,
            answer or {},
            "" if answer else "SomeError: it fell over",
        )
        for mode, answered in answers.items()
        for number, answer in enumerate(answered)
    ]


def seconds(*values: float | None) -> list[dict[str, float] | None]:
    return [None if value is None else {"seconds": value, "cpu": value / 2} for value in values]


def first(found: list[Comparison]) -> Comparison:
    """The rate or time of a work; its processor time comes after it."""
    return found[0]


def test_a_ratio_is_of_the_turns_of_one_round_and_not_of_the_medians() -> None:
    flows = {"Unbroken": seconds(1, 2, 10), "DBOS sync": seconds(30, 20, 20)}
    comparison = first(compare(turns("flows", flows)))
    assert comparison.times_better("DBOS") == pytest.approx([30, 10, 2])
    assert comparison.best["Unbroken"].middle == 500  # 1,000 flows in 2 s


def test_less_is_better_where_it_is_a_time() -> None:
    lone = {"Unbroken": seconds(2), "raw limit": seconds(1), "Absurd async": seconds(8)}
    comparison = first(compare(turns("lone", lone)))
    assert comparison.times_better("Absurd") == [4]
    assert comparison.times_better(RAW) == [0.5]
    assert comparison.best["Unbroken"].values == {0: 20}  # ms for each of 100 effects


def test_a_rival_stands_for_its_best_mode() -> None:
    many = {"Unbroken": seconds(1), "DBOS async": seconds(50), "DBOS sync": seconds(40)}
    rate, cpu = compare(turns("many", many))
    assert rate.best["DBOS"].mode == cpu.best["DBOS"].mode == "DBOS sync"
    assert cpu.best["DBOS"].middle == 2_000  # µs: 20 s for 10,000 effects
    lone = {"Unbroken": seconds(1), "DBOS async": seconds(3), "DBOS sync": seconds(4)}
    assert first(compare(turns("lone", lone))).best["DBOS"].mode == "DBOS async"


def test_we_stand_for_our_defaults_even_if_another_setting_is_better() -> None:
    asleep = {"seconds": 2.0, "median": 1.0, "bytes": 9.0}
    warm = {"seconds": 1.0, "median": 0.5, "bytes": 1.0}
    found = turns("sleepers", {"Unbroken": [asleep]})
    found += turns("warm sleepers", {"Unbroken, kept warm": [warm]})
    woken, memory = compare(found)
    assert woken.best["Unbroken"].middle == 2
    assert memory.best["Unbroken"].middle == 9
    assert {measured.mode for measured in woken.modes} == {"Unbroken", "Unbroken, kept warm"}


def test_a_turn_without_an_answer_is_left_out_of_the_ratios_and_told() -> None:
    flows = {"Unbroken": seconds(1, 1, 1), "DBOS sync": seconds(30, None, 10)}
    found = turns("flows", flows)
    assert first(compare(found)).times_better("DBOS") == pytest.approx([30, 10])
    page = rivals_page(found, CONDITIONS)
    assert "- DBOS sync, flows, 0 ms, 2: `SomeError: it fell over`" in page


def test_a_family_that_has_only_failed_has_no_ratio() -> None:
    found = turns("flows", {"Unbroken": seconds(1), "Absurd async": seconds(None)})
    comparison = first(compare(found))
    assert comparison.times_better("Absurd") == []
    assert comparison.is_goal_reached("Absurd") is None
    assert standing(comparison, "Absurd") is None


def test_a_figure_of_nothing_makes_no_ratio() -> None:
    answers = [{"seconds": 1.0, "median": 1.0, "bytes": 0.0}]
    both = {"Unbroken": answers, "DBOS async": [{"seconds": 4.0, "median": 1.0, "bytes": 17_000.0}]}
    woken, memory = compare(turns("sleepers", both))
    assert woken.times_better("DBOS") == [4]
    assert memory.times_better("DBOS") == []


@pytest.mark.parametrize(("theirs", "reached"), [(29.9, False), (30.1, True)])
def test_a_goal_is_for_the_median_beside_the_server(theirs: float, reached: bool) -> None:
    flows = {"Unbroken": seconds(1, 1, 1), "DBOS sync": seconds(1, theirs, 99)}
    assert first(compare(turns("flows", flows))).is_goal_reached("DBOS") is reached
    assert first(compare(turns("flows", flows, delay=5))).is_goal_reached("DBOS") is None


def test_of_a_turn_that_was_taken_again_the_last_counts(tmp_path: Path) -> None:
    file = tmp_path / "turns.jsonl"
    taken = turns("flows", {"Unbroken": seconds(1, 2)}) + turns("flows", {"Unbroken": seconds(4)})
    file.write_text("".join(json.dumps(asdict(turn)) + "\n" for turn in taken))
    assert first(compare(read_turns(file))).best["Unbroken"].values == {0: 250, 1: 500}


def test_distances_are_compared_apart() -> None:
    found = turns("flows", {"Unbroken": seconds(1)}, delay=5)
    found += turns("flows", {"Unbroken": seconds(2)})
    near, _, far, _ = compare(found)
    assert (near.delay_ms, far.delay_ms) == (0, 5)
    assert near.best["Unbroken"].middle == 500


def test_the_page_shows_medians_extremes_ratios_goals_and_conditions() -> None:
    flows = {"Unbroken": seconds(1, 2, 4), "DBOS sync": seconds(40, 80, 160)}
    page = rivals_page(turns("flows", flows), CONDITIONS)
    row = next(line for line in page.splitlines() if line.startswith("| 1,000 flows of one"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    told = ["flows/s", "500 (250..1,000)", "12.5 (6.25..25) sync", "", "", "40 [≥ 30: yes]", "", ""]
    assert cells[1:] == told
    assert "3 rounds" in page
    assert "dbos 3.4.0" in page
    assert "fsync on" in page


def test_the_page_says_when_a_bound_is_missed() -> None:
    page = rivals_page(turns("idle", {"Unbroken": [{"statements": 1.5}]}), CONDITIONS)
    assert "1.5 [≤ 1: no]" in page


def test_the_plot_puts_the_better_one_to_the_right() -> None:
    flows = {"Unbroken": seconds(1), "DBOS sync": seconds(100), "raw limit": seconds(0.1)}
    found = turns("flows", flows)
    comparison = first(compare(found))
    assert standing(comparison, "DBOS") == pytest.approx(0.01)
    assert standing(comparison, RAW) == pytest.approx(10)
    root = ET.fromstring(drawing(found))
    across = {}
    for point in root.iter(f"{SVG}circle"):
        title = point.find(f"{SVG}title")
        if title is not None and title.text is not None:
            across[title.text.split(":")[0]] = float(point.attrib["cx"])
    assert across["DBOS"] < across["Unbroken"] < across["raw limit"]


def test_every_figure_has_contenders_and_every_contender_a_known_work() -> None:
    offered = {work for one in CONTENDERS for work in one.works}
    assert offered == set(WORKS)
    assert {figure.work for figure in FIGURES} <= offered
    for figure in FIGURES:
        families = {one.family for one in CONTENDERS if figure.work in one.works}
        assert {"Unbroken", "DBOS", "Absurd"} <= families


@pytest.mark.parametrize(
    ("value", "written"), [(1234.5, "1,234"), (99.96, "100"), (0.01234, "0.0123"), (0, "0")]
)
def test_numbers_are_short(value: float, written: str) -> None:
    assert number(value) == written
    assert spread([value]) == written


def test_a_span_that_has_no_begin_or_end_tells_nothing() -> None:
    span = Span()
    for change in (span.begin, span.begin, span.end, span.end):
        change()
    assert span.told().keys() == {"seconds", "cpu"}
    with pytest.raises(AssertionError, match="nothing began"):
        Span().end()
    with pytest.raises(AssertionError, match="nothing ended"):
        Span().told()


def test_sleepers_that_are_not_all_asleep_are_not_weighed() -> None:
    dormitory = Dormitory(2, lead=1_000)
    dormitory.goes_to_sleep()
    with pytest.raises(RuntimeError, match="only 1 sleep"):
        dormitory.weigh()
    dormitory.goes_to_sleep()
    dormitory.weigh()


def test_the_lead_grows_with_how_long_one_takes_to_bed() -> None:
    assert Dormitory(10, lead=20).time_left <= 20
    assert Dormitory(1_000, lead=20, each=1).time_left > 1_000


def test_a_database_is_reached_by_the_proxys_port_with_the_same_user() -> None:
    server = Server("postgresql://me:secret@db.example:5433/postgres")
    assert server.url("bench") == "postgresql://me:secret@db.example:5433/bench?sslmode=disable"
    assert server.url("bench", 7) == "postgresql://me:secret@127.0.0.1:7/bench?sslmode=disable"


async def test_a_server_that_is_not_there_is_one_line_without_a_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        server = Server(f"postgresql://me:secret@127.0.0.1:{port}/postgres")
        with pytest.raises(SystemExit, match=f"127.0.0.1:{port}") as ended:
            await server.settings()
    assert "secret" not in str(ended.value)


def first_message(body: bytes) -> bytes:
    return struct.pack("!I", len(body) + 4) + body


def sent(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


ENCRYPTION = first_message(struct.pack("!I", 80877103))
STARTUP = first_message(struct.pack("!I", 196608) + b"user\0me\0\0")
CONVERSATION = b"".join(
    (
        STARTUP,
        sent(b"p", b"password\0"),
        sent(b"Q", b"BEGIN\0"),
        sent(b"P", b"s\0INSERT\0\0\0"),
        sent(b"B", b"x" * 300),
        sent(b"E", b"\0\0\0\0\0"),
        sent(b"S", b""),
        sent(b"Q", b"COMMIT\0"),
        sent(b"X", b""),
    )
)


@pytest.mark.parametrize("before", [b"", ENCRYPTION])
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_statements_are_counted_wherever_the_stream_is_cut(before: bytes, piece: int) -> None:
    counter = StatementCounter()
    stream = before + CONVERSATION
    for begin in range(0, len(stream), piece):
        counter.feed(stream[begin : begin + piece])
    assert counter.statements == 3


@pytest.mark.parametrize("delay", [0.0, 0.001])
async def test_the_proxy_carries_both_ways_and_counts(delay: float) -> None:
    heard = asyncio.Queue[bytes]()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told = await reader.readexactly(len(CONVERSATION))
        heard.put_nowait(told)
        writer.write(b"Z" + told[:10])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, proxy_to("127.0.0.1", port, delay) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.listens_at)
        for piece in (CONVERSATION[:9], CONVERSATION[9:30], CONVERSATION[30:]):
            writer.write(piece)
            await writer.drain()
        assert await heard.get() == CONVERSATION
        assert await reader.read() == b"Z" + CONVERSATION[:10]
        writer.close()
        await writer.wait_closed()
        assert proxy.statements == 3
