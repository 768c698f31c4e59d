"""Detection over HTTP: what goes in and comes out, and what is refused."""

import asyncio
import io
import json
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from starlette.requests import Request
from starlette.testclient import TestClient

from infraspot.core.errors import InputError, UsageError
from infraspot.data import write_grey
from infraspot.inference.engines import ClassicalEngine
from infraspot.jobs.detect import run_engine
from infraspot.serving.bodies import MOST_FILES, files_of
from infraspot.serving.detection import DetectionServer, Limits, make_app
from infraspot.serving.guard import loopback_hosts, read_body
from infraspot.serving.listening import listen

TOKEN, PORT = "a-token-of-the-tests", 8000
FORM = "multipart/form-data; boundary=x"
ORIGIN = f"http://127.0.0.1:{PORT}"


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray((image * 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def frame(rng, places=((20, 30),), shape=(48, 64)):
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    image = 0.2 + 0.01 * rng.standard_normal(shape)
    for y, x in places:
        image += 0.5 * np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / 2)
    return image.clip(0, 1)


@pytest.fixture
def make_client():
    worker = ThreadPoolExecutor(1)
    engine = ClassicalEngine("tophat", sigmas=8)

    def make(limits: Limits | None = None, **headers: str) -> TestClient:
        server = DetectionServer(engine, 0.5, limits or Limits(), worker)
        app = make_app(server, TOKEN, loopback_hosts(PORT))
        headers = headers or {"authorization": f"Bearer {TOKEN}"}
        return TestClient(app, base_url=ORIGIN, headers=headers)

    yield make
    worker.shutdown()


@pytest.fixture
def client(make_client):
    return make_client()


def test_an_image_gives_the_record_that_detect_writes(client, tmp_path, rng):
    image = frame(rng, [(20, 30), (40, 8)])
    write_grey(tmp_path / "frames" / "a.png", image)
    run_engine(ClassicalEngine("tophat", sigmas=8), 0.5, [tmp_path / "frames"], tmp_path, formats=["json"])
    written = json.loads((tmp_path / "a.json").read_text())
    body = (tmp_path / "frames" / "a.png").read_bytes()
    answer = client.post("/detect", params={"name": "a.png"}, content=body)
    assert answer.status_code == 200
    assert len(written["targets"]) == 2
    assert answer.json() == {**written, "image": "a.png"}


def test_a_stack_gives_a_list_with_the_numbers_of_its_pages(client, rng):
    stack = np.stack([frame(rng), frame(rng, [])])
    file = io.BytesIO()
    np.save(file, (stack * 255).astype(np.uint8))
    records = client.post("/detect", content=file.getvalue()).json()
    assert [(record["page"], len(record["targets"])) for record in records] == [(1, 1), (2, 0)]


def test_a_form_gives_a_list_in_its_order_and_a_damaged_file_has_an_error_there(client, rng):
    contents = {"a.png": png(frame(rng)), "b.png": b"\x89PNG", "c.png": png(frame(rng))}
    records = client.post("/detect", files=[("x", file) for file in contents.items()]).json()
    assert [record["image"] for record in records] == ["a.png", "b.png", "c.png"]
    assert "b.png has a damaged header" in records[1]["error"]
    assert "targets" not in records[1]
    assert [len(records[number]["targets"]) for number in (0, 2)] == [1, 1]


def test_raw_frames_are_read_by_the_form_that_the_address_names(client, rng):
    # The first two pixels spell the mark of a BMP file.
    image = np.concatenate([np.frombuffer(b"BM", "<u2"), (frame(rng) * 65535).astype("<u2").ravel()[1:]])
    record = client.post("/detect", params={"raw": "64x48:uint16"}, content=image.tobytes()).json()
    assert (record["width"], record["height"], record["bit_depth"]) == (64, 48, 16)
    refused = client.post("/detect", params={"raw": "64"}, content=image.tobytes())
    assert refused.status_code == 422
    assert "raw form '64'" in refused.json()["error"]


def test_the_model_its_card_and_the_limits_are_told(client):
    told = client.get("/metadata").json()
    assert (told["model"], told["threshold"], told["card"]["method"]) == ("tophat", 0.5, "tophat")
    assert told["limits"]["queue"] == Limits().queue


def test_health_needs_no_token_and_all_else_does(make_client, rng):
    bare = make_client(accept="*/*")
    assert bare.get("/health").json() == {"status": "ok", "waiting": 0}
    assert bare.get("/metadata").status_code == 403
    assert bare.post("/detect", content=png(frame(rng))).status_code == 403
    assert bare.get("/metadata", params={"token": TOKEN}).status_code == 200
    assert bare.get("/metadata", headers={"authorization": "Basic " + TOKEN}).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": ORIGIN}, 200),
        ({"content-length": "99999999999999999999999"}, 413),
        ({"content-length": "²"}, 413),
    ],
)
def test_foreign_hosts_and_origins_and_odd_lengths_are_refused(client, rng, headers, status):
    headers = {name: value.encode("latin-1") for name, value in headers.items()}
    assert client.post("/detect", content=png(frame(rng)), headers=headers).status_code == status


def test_a_body_that_is_too_large_an_image_that_is_too_large_and_too_many_pages_are_refused(make_client, rng):
    limits = Limits(max_body=1 << 20, max_pixels=1000, max_pages=2)
    client = make_client(limits)
    assert client.post("/detect", content=b" " * ((1 << 20) + 1)).status_code == 413
    large = client.post("/detect", content=png(frame(rng)))
    assert (large.status_code, "64x48" in large.json()["error"]) == (422, True)
    file = io.BytesIO()
    np.save(file, np.zeros((3, 8, 8), np.uint8))
    pages = client.post("/detect", content=file.getvalue())
    assert (pages.status_code, "more than 2 pages" in pages.json()["error"]) == (422, True)


@pytest.mark.parametrize("body", [b"", b"no image", b"\x89PNG", b"\0" * 100, b"GIF89a"])
def test_bytes_that_are_no_image_get_a_sentence(client, body):
    answer = client.post("/detect", content=body)
    assert answer.status_code == 422
    assert answer.json()["error"]


def test_a_full_queue_is_said_at_once_and_empties_again(make_client, rng):
    client = make_client(Limits(queue=1))
    with ThreadPoolExecutor(6) as callers, client:
        image = png(frame(rng, shape=(800, 800)))
        answers = list(callers.map(lambda _: client.post("/detect", content=image), range(6)))
        refused = [answer for answer in answers if answer.status_code == 503]
        assert len(refused) + sum(answer.status_code == 200 for answer in answers) == 6
        assert refused
        assert "requests wait already; try again" in refused[0].json()["error"]
        assert refused[0].headers["retry-after"] == "1"
        assert client.post("/detect", content=image).status_code == 200


def test_a_request_whose_time_is_over_is_told_how_many_frames_were_done(make_client, rng, monkeypatch):
    clock = Mock(monotonic=Mock(side_effect=range(0, 1000, 20)))
    monkeypatch.setattr("infraspot.serving.detection.time", clock)
    file = io.BytesIO()
    np.save(file, np.zeros((3, 8, 8), np.uint8))
    answer = make_client(Limits(seconds=30)).post("/detect", content=file.getvalue())
    assert answer.status_code == 503
    assert "more than 30 s, 1 of its frames are done" in answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x",
        b"--x--\r\n",
        b"no boundary",
        b"--x\r\n\r\n",
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\nends early',
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nno file\r\n--x--\r\n',
        b"--x\r\n\r\n\r\n" * (MOST_FILES + 2),
    ],
)
def test_a_form_that_is_damaged_or_empty_is_refused(body):
    with pytest.raises(InputError):
        files_of(FORM, body, "image")


def test_a_form_of_too_many_files_is_refused():
    part = b'--x\r\nContent-Disposition: form-data; filename="a"\r\n\r\nb\r\n'
    assert len(files_of(FORM, part * MOST_FILES + b"--x--", "image")) == MOST_FILES
    with pytest.raises(InputError, match="more than 64 files"):
        files_of(FORM, part * (MOST_FILES + 1) + b"--x--", "image")


def test_a_part_may_be_empty_and_may_hold_dashes_and_line_breaks():
    content = b"\r\n--y\r\n\r\n--\r\n"
    body = b'--x\r\nContent-Disposition: a; filename="a"\r\n\r\n\r\n--x\r\nb: filename="b"\r\n\r\n' + content
    quoted = 'multipart/form-data; boundary="x"'
    assert files_of(quoted, body + b"\r\n--x--", "") == [
        ("a", b""),
        ("b", content),
    ]


@pytest.mark.parametrize("host", ["256.0.0.1", "no host", "\udcff", "a" * 70])
def test_an_address_that_is_none_of_this_machine_is_a_sentence(host):
    with pytest.raises(UsageError, match="cannot listen on"):
        listen(0, host)


def test_a_body_that_pauses_is_given_up():
    async def receive():
        await asyncio.sleep(60)

    request = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)
    answer = asyncio.run(read_body(request, 100, silence=0.01, seconds=30))
    assert answer.status_code == 408
    assert b"did not arrive further for 0.01 s" in answer.body


def test_a_port_that_is_taken_is_a_sentence():
    with listen(0) as taken, pytest.raises(UsageError, match="is taken"):
        listen(taken.getsockname()[1])


def test_a_token_of_the_environment_must_be_long_enough(monkeypatch, capsys):
    from infraspot.cli.main import main

    for token in ("short", "with spaces in it, and long", "ümlaut-ümlaut-ümlaut", ""):
        monkeypatch.setenv("INFRASPOT_TOKEN", token)
        assert main(["serve", "--port", "0"]) == 2
        assert "INFRASPOT_TOKEN" in capsys.readouterr().err
