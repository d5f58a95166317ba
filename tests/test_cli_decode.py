"""`tickstorm decode`: findings, captures, TCP streams, and what is printed of them."""

import json
from struct import pack

import pytest
from click.testing import CliRunner

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.cli import main
from tickstorm.commands.captures import Capture, CaptureError, Packet, is_capture, read_capture
from tickstorm.commands.decode import hex_bytes
from tickstorm.commands.dissection import Finding, dissect
from tickstorm.commands.frame_text import finding_lines
from tickstorm.commands.tcp_streams import Direction, TCPStream, tcp_streams
from tickstorm.frames import FrameType, encode_frame

LOGIN = encode_frame(
    FrameType.AUTH, pb.AuthRequest(username="alice", password="secret").SerializeToString()
)
HEARTBEAT = encode_frame(FrameType.HEARTBEAT, b"")
BATCH = encode_frame(
    FrameType.DATA_BATCH,
    pb.DataBatch(
        ticks=[
            pb.Tick(symbol="AAPL", price=189.5, timestamp_ms=1_700_000_000_000, mode=3),
            pb.Tick(symbol="A\x1b[2J", price=float("nan"), metadata={"k": "v"}),
        ],
        batch_timestamp_ms=1_700_000_000_005,
        publish_time_ns=1_700_000_000_005_000_001,
    ).SerializeToString(),
)


def run(*arguments, input=None):
    done = CliRunner().invoke(main, ["decode", *arguments], input=input)
    return done.exit_code, done.stdout, done.stderr


# Findings.


def test_frames_with_their_offsets_and_a_hidden_password():
    assert list(dissect(LOGIN + HEARTBEAT)) == [
        Finding(0, "AUTH", 15, "right", {"username": "alice", "password": "<hidden>"}),
        Finding(27, "HEARTBEAT", 0, "right"),
    ]


def test_secrets_are_shown_when_asked_for():
    (finding,) = dissect(LOGIN, secrets=True)
    assert finding.fields == {"username": "alice", "password": "secret"}


def test_numbers_enums_and_booleans_of_a_message_are_shown_even_if_zero():
    payload = pb.SubscribeRequest(symbols=["B", "A"], metadata={"z": "1", "a": "2"})
    (finding,) = dissect(encode_frame(FrameType.SUBSCRIBE, payload.SerializeToString()))
    assert finding.fields == {
        "mode": "UNSPECIFIED",
        "symbols": ["B", "A"],
        "start_time_ms": 0,
        "metadata": {"a": "2", "z": "1"},
        "interval_ms": 0,
        "overload": "UNSPECIFIED",
        "resume_after_sequence": 0,
        "snapshot": False,
    }


def test_an_unknown_enum_is_its_number_and_unknown_fields_are_named():
    payload = pb.SubscribeRequest(mode=9).SerializeToString() + b"\x50\x01\xf8\x06\x01"
    (finding,) = dissect(encode_frame(FrameType.SUBSCRIBE, payload))
    assert finding.fields["mode"] == 9
    assert finding.unknown_fields == (10, 111)
    assert list(finding_lines(finding))[-1] == "    (and fields unknown to this version: 10, 111)"


def test_an_undecodable_payload_is_told_and_the_next_frame_is_read():
    assert list(dissect(encode_frame(FrameType.AUTH, b"\xff") + HEARTBEAT)) == [
        Finding(0, "AUTH", 1, "right", problem="the payload is no AuthRequest"),
        Finding(13, "HEARTBEAT", 0, "right"),
    ]


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (
            HEARTBEAT[:-1] + b"\x00",
            Finding(
                12,
                "HEARTBEAT",
                0,
                "wrong",
                problem="the checksum is BC04CD00, that of these bytes BC04CD7D",
            ),
        ),
        (b"\xf5", Finding(12, problem="ends after 1 of the 8 bytes of a header")),
        (
            LOGIN[:20],
            Finding(12, "AUTH", 15, problem="ends after 20 of the 27 bytes of this frame"),
        ),
        (b"GET / HTTP/1.1", Finding(12, problem="a frame begins with F57D, not 4745")),
        (b"\xf5\x7d\x02\x01" + bytes(8), Finding(12, problem="version 1 is spoken here, not 2")),
        (b"\xf5\x7d\x01\x63" + bytes(8), Finding(12, problem="unknown frame type 0x63")),
        (
            b"\xf5\x7d\x01\x01" + b"\xff" * 4,
            Finding(12, problem="a payload of 4294967295 bytes is over the limit of 65536"),
        ),
    ],
)
def test_where_there_is_no_frame_it_ends(data, finding):
    assert list(dissect(HEARTBEAT + data))[1:] == [finding]


def test_a_frame_as_text():
    (finding,) = dissect(BATCH)
    assert list(finding_lines(finding)) == [
        f"00000000  DATA_BATCH  {len(BATCH) - 12} bytes  crc right",
        "    ticks: 2",
        "      symbol AAPL  timestamp_ms 1700000000000  price 189.5  mode TICK",
        "      symbol A\\x1b[2J  price nan  metadata k=v",
        "    batch_timestamp_ms  1700000000005  2023-11-14T22:13:20.005Z",
        "    batch_sequence      0",
        "    is_snapshot         no",
        "    schema_version      0",
        "    publish_time_ns     1700000000005000001  2023-11-14T22:13:20.005000001Z",
    ]


@pytest.mark.parametrize(
    ("type", "message", "lines"),
    [
        (
            FrameType.GAP,
            pb.GapNotice(first_sequence=5, last_sequence=9, ticks_lost=40, reason="dropped"),
            [
                "00000000  GAP         15 bytes  crc right",
                "    first_sequence  5",
                "    last_sequence   9",
                "    ticks_lost      40",
                "    reason          dropped",
            ],
        ),
        (
            FrameType.GOAWAY,
            pb.GoAway(retry_after_ms=1_500, reason="deploy"),
            [
                "00000000  GOAWAY      11 bytes  crc right",
                "    retry_after_ms  1500",
                "    reason          deploy",
            ],
        ),
        (
            FrameType.UNSUBSCRIBE,
            pb.UnsubscribeRequest(),
            ["00000000  UNSUBSCRIBE  0 bytes  crc right"],
        ),
    ],
)
def test_what_came_after_version_1(type, message, lines):
    (finding,) = dissect(encode_frame(type, message.SerializeToString()))
    assert list(finding_lines(finding)) == lines


# The command.


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (b"f57d 0103", b"\xf5\x7d\x01\x03"),
        (b"0xF5, 0x7D\n01:03", b"\xf5\x7d\x01\x03"),
        (b" \n", b""),
    ],
)
def test_hex(text, data):
    assert hex_bytes(text) == data


@pytest.mark.parametrize(
    ("text", "problem"),
    [(b"f57", "3 hex digits end with half a byte"), (b"f57g", "not hex digits")],
)
def test_what_is_no_hex(text, problem):
    with pytest.raises(ValueError, match=problem):
        hex_bytes(text)


HEARTBEAT_TEXT = "00000000  HEARTBEAT   0 bytes  crc right\n"


def test_raw_bytes_hex_text_and_an_option_give_the_same(tmp_path):
    raw, text = tmp_path / "raw", tmp_path / "text"
    raw.write_bytes(HEARTBEAT)
    text.write_text("0x" + HEARTBEAT.hex(" "))
    right = (0, HEARTBEAT_TEXT, "")
    assert run(str(raw)) == run(str(text)) == run("--hex", HEARTBEAT.hex()) == right
    assert run("-", input=HEARTBEAT) == right


def test_json_has_one_object_a_frame():
    code, output, _ = run("--json", "-", input=BATCH + b"\xf5")
    first, last = map(json.loads, output.splitlines())
    assert code == 1
    assert first["message"]["ticks"][1] == {
        "symbol": "A\x1b[2J",
        "price": "nan",
        "metadata": {"k": "v"},
    }
    assert last == {
        "offset": len(BATCH),
        "type": None,
        "payload_bytes": None,
        "crc": None,
        "message": {},
        "unknown_fields": [],
        "problem": "ends after 1 of the 8 bytes of a header",
    }


@pytest.mark.parametrize(
    ("arguments", "input", "code", "words"),
    [
        ((), None, 2, "Give either FILE"),
        (("-", "--hex", "00"), b"", 2, "Give either FILE"),
        (("-",), b"", 1, "there is nothing to decode"),
        (("--hex", "xyz"), None, 1, "not hex digits"),
        (("/nonexistent",), None, 2, "No such file"),
        (("-",), b"\x0a\x0d\x0d\x0a" + bytes(20), 1, "the capture cannot be read"),
    ],
)
def test_what_cannot_be_decoded(arguments, input, code, words):
    exit_code, output, errors = run(*arguments, input=input)
    assert (exit_code, output) == (code, "")
    assert words in errors


# Captures.


def pcap(*packets, link_type=1, order="<", magic=0xA1B2C3D4):
    head = pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)
    return head + b"".join(
        pack(order + "IIII", 1, 2, len(packet), len(packet)) + packet for packet in packets
    )


def block(kind, body, order="<"):
    padded = body + bytes(-len(body) % 4)
    size = len(padded) + 12
    return pack(order + "II", kind, size) + padded + pack(order + "I", size)


def pcapng(*packets, link_type=1, order="<"):
    return (
        block(0x0A0D0D0A, pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
        + block(1, pack(order + "HHI", link_type, 0, 0), order)
        + block(5, bytes(8), order)
        + b"".join(
            block(6, pack(order + "IIIII", 0, 0, 0, len(p), len(p)) + p, order) for p in packets
        )
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D])
def test_pcap_in_both_orders_and_resolutions(order, magic):
    data = pcap(b"one", b"", b"three", link_type=113, order=order, magic=magic)
    assert is_capture(data)
    assert read_capture(data) == Capture(
        [Packet(113, b"one"), Packet(113, b""), Packet(113, b"three")], ""
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_in_both_orders(order):
    data = pcapng(b"one", b"three", order=order)
    assert is_capture(data)
    assert read_capture(data) == Capture([Packet(1, b"one"), Packet(1, b"three")], "")


def test_a_packet_has_the_bytes_that_were_captured_not_those_that_were_sent():
    classic = pcap() + pack("<IIII", 1, 2, 3, 1500) + b"one"
    newer = pcapng() + block(6, pack("<IIIII", 0, 0, 0, 3, 1500) + b"one")
    simple = pcapng() + block(3, pack("<I", 1500) + b"four")
    assert [read_capture(data).packets for data in (classic, newer, simple)] == [
        [Packet(1, b"one")],
        [Packet(1, b"one")],
        [Packet(1, b"four")],
    ]


@pytest.mark.parametrize("make", [pcap, pcapng])
def test_a_capture_that_was_cut_gives_what_is_whole_or_says_that_it_is_none(make):
    data = make(b"one!", b"two!")
    for end in range(1, len(data)):
        try:
            capture = read_capture(data[:end])
        except CaptureError:
            continue
        assert capture.packets == [Packet(1, b"one!"), Packet(1, b"two!")][: len(capture.packets)]
        assert len(capture.packets) < 2
    assert read_capture(data[:-1]).problem == ("the file ends within the packet after number 1")


def test_frames_are_no_capture():
    assert not is_capture(LOGIN)


# TCP streams.


def tcp(data=b"", seq=0, *, flags=0x10, ports=(40000, 8080), to=2, source=1):
    head = pack(">HHIIBBHHH", *ports, seq % 2**32, 0, 0x50, flags, 0, 0, 0)
    ip = pack(
        ">BBHHHBBH4s4s",
        0x45,
        0,
        40 + len(data),
        0,
        0,
        64,
        6,
        0,
        bytes((127, 0, 0, source)),
        bytes((127, 0, 0, to)),
    )
    return ip + head + data


def ethernet(packet, kind=0x0800):
    return bytes(12) + pack(">H", kind) + packet


def streams(*segments):
    return tcp_streams([Packet(101, segment) for segment in segments])


THERE = Direction("127.0.0.1:40000", "127.0.0.2:8080")
SYN = 0x02


def test_both_directions_of_a_connection():
    assert streams(
        tcp(seq=9, flags=SYN),
        tcp(seq=99, flags=SYN | 0x10, ports=(8080, 40000), source=2, to=1),
        tcp(b"ask", 10),
        tcp(b"answer", 100, ports=(8080, 40000), source=2, to=1),
    ) == [
        TCPStream(THERE, b"ask", 0),
        TCPStream(Direction("127.0.0.2:8080", "127.0.0.1:40000"), b"answer", 0),
    ]


def test_order_repetition_overlap_and_the_end_of_the_numbers():
    start = 2**32 - 4
    assert streams(
        tcp(seq=start - 1, flags=SYN),
        tcp(b"gh", start + 6),
        tcp(b"abc", start),
        tcp(b"abc", start),
        tcp(b"ef", start + 4),
        tcp(b"cdef", start + 2),
        tcp(b"f", start + 5),
    ) == [TCPStream(THERE, b"abcdefgh", 0)]


def test_a_hole_ends_a_stream():
    assert streams(tcp(b"ab", 5), tcp(b"xyz", 9)) == [TCPStream(THERE, b"ab", 3)]


def test_a_port_used_again_is_another_stream():
    assert streams(
        tcp(seq=4, flags=SYN),
        tcp(seq=4, flags=SYN),
        tcp(b"ab", 5),
        tcp(seq=70, flags=SYN),
        tcp(b"cd", 71),
    ) == [TCPStream(THERE, b"ab", 0), TCPStream(THERE, b"cd", 0)]


def test_link_types():
    packet = tcp(b"x", 1)
    six = pack(
        ">IHBB16s16s", 6 << 28, len(packet) - 20, 6, 64, bytes(15) + b"\1", bytes(15) + b"\2"
    )
    found = tcp_streams(
        [
            Packet(1, ethernet(packet) + b"padding"),
            Packet(1, ethernet(pack(">HH", 7, 0x0800) + tcp(b"y", 2), 0x8100)),
            Packet(0, bytes(4) + tcp(b"z", 3)),
            Packet(113, bytes(14) + b"\x08\x00" + tcp(b"1", 4)),
            Packet(276, b"\x08\x00" + bytes(18) + tcp(b"2", 5)),
            Packet(1, ethernet(six + packet[20:], 0x86DD)),
        ]
    )
    assert found == [
        TCPStream(THERE, b"xyz12", 0),
        TCPStream(Direction("[::1]:40000", "[::2]:8080"), b"x", 0),
    ]


def test_what_is_no_tcp_is_left_out():
    udp = bytearray(tcp(b"x", 1))
    udp[9] = 17
    fragment = bytearray(tcp(b"x", 1))
    fragment[6] = 0x20
    assert (
        tcp_streams(
            [
                Packet(101, bytes(udp)),
                Packet(101, bytes(fragment)),
                Packet(101, tcp(b"x", 1)[:30]),
                Packet(101, b""),
                Packet(1, ethernet(tcp(b"x", 1), 0x0806)),
                Packet(147, tcp(b"x", 1)),
            ]
        )
        == []
    )


def test_a_capture_file_is_decoded_by_stream(tmp_path):
    file = tmp_path / "capture"
    file.write_bytes(
        pcap(
            ethernet(tcp(LOGIN[:10], 1)),
            ethernet(tcp(b"GET / HTTP/1.1", 1, ports=(40001, 9090))),
            ethernet(tcp(LOGIN[10:], 11)),
        )
    )
    assert run(str(file)) == (
        0,
        "127.0.0.1:40000 > 127.0.0.2:8080  27 bytes\n"
        "00000000  AUTH        15 bytes  crc right\n"
        "    username  alice\n"
        "    password  <hidden>\n"
        "(1 other TCP stream left out: no frame at the beginning)\n",
        "",
    )


def test_what_is_missing_in_a_capture_is_told(tmp_path):
    file = tmp_path / "capture"
    file.write_bytes(pcap(ethernet(tcp(HEARTBEAT, 1)), ethernet(tcp(HEARTBEAT, 99))) + b"\0")
    assert run(str(file)) == (
        1,
        "127.0.0.1:40000 > 127.0.0.2:8080  12 bytes\n" + HEARTBEAT_TEXT,
        "127.0.0.1:40000 > 127.0.0.2:8080  then packets are missing before 12 bytes more\n"
        "the capture is not whole: the file ends within the packet after number 2\n",
    )


def test_a_capture_without_frames_is_wrong(tmp_path):
    file = tmp_path / "capture"
    file.write_bytes(pcap(ethernet(tcp(b"GET", 1))))
    assert run("--json", str(file)) == (1, "", "no TCP stream in the capture begins with a frame\n")
