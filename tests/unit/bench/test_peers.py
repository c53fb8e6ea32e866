"""The peers without their browsers: what is counted, checked, compared and told as absent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from browser_runtime.contract.errors import BadInput, BadOutput
from scheduler.experiments.reading import read_table
from webinfer.bench.laboratory.documents import write_document
from webinfer.bench.peers import measuring, peer
from webinfer.bench.peers.measuring import (
    ONE_MODEL,
    THREE_MODELS,
    Figures,
    PeersFound,
    check,
    make_jobs,
    measure_peers,
    reference,
)
from webinfer.bench.peers.peer import BY_HAND, IN_PROCESS, PEERS
from webinfer.bench.peers.report import claims, make_peers_document, read_peers
from webinfer.bench.peers.running import Answers
from webinfer.commands.bench_peers import PROGRAMS


def figures(name: str, at_once: int, seconds: list[float], memory_mb: float) -> Figures:
    found = next(each for each in PEERS if each.name == name)
    return Figures(found, THREE_MODELS, at_once, 30, seconds, [[1000 * each] for each in seconds], memory_mb)


def test_the_command_names_every_program() -> None:
    assert tuple(each.program for each in PEERS) == PROGRAMS
    assert all((peer.PROGRAMS / name).is_file() for each in PEERS for name in each.files)


def test_lines_are_code_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '"""A program."""\n\nimport os\n\n# Why.\ndef answer():\n    """That."""\n    return os.sep\n'
    (tmp_path / "small.py").write_text(text)
    monkeypatch.setattr(peer, "PROGRAMS", tmp_path)
    assert peer.Peer("small", "small", ("small.py",)).n_lines == 3


def test_a_round_has_other_texts_than_the_last() -> None:
    sound = Path("spoken.wav")
    one, two = (make_jobs(THREE_MODELS, number, sound, 30) for number in (0, 1))
    assert len(one) == len(two) == 30
    assert {kind for kind, _ in one} == {"text", "image", "sound"}
    texts = [item for jobs in (one, two) for kind, item in jobs if kind == "text"]
    assert len(set(texts)) == len(texts) == 20
    assert {kind for kind, _ in make_jobs(ONE_MODEL, 0, sound, 30)} == {"text"}


def test_every_answer_is_checked() -> None:
    jobs = [("text", "a short sentence"), ("image", "4.png"), ("sound", "8.wav")]
    right = [list(reference("a short sentence")), "4", " 8"]
    check("one", jobs, Answers(1.0, [1.0] * 3, right))
    for wrong in ([list(reference("another one")), "4", "8"], [right[0], "9", "8"], [right[0], "4", "3"]):
        with pytest.raises(BadOutput, match="one answered"):
            check("one", jobs, Answers(1.0, [1.0] * 3, wrong))


def test_ratios_are_of_the_same_rounds_and_claims_stand_beside_them() -> None:
    # A busy moment doubles one round of both: the ratio knows nothing of it.
    hand = figures(BY_HAND, 1, [1.0, 2.0, 1.0], 600.0)
    ours = [figures(IN_PROCESS, n, [0.5 / n, 1.0 / n, 0.5 / n], 540.0) for n in (1, 16)]
    found = PeersFound([hand, *ours], {"Playwright": "playwright is missing: pip install playwright"})
    ratio = ours[0].times_as_quick(hand)
    assert ratio.ratio == pytest.approx(2.0) and ratio.high == pytest.approx(2.0)
    told = {claim.scenario: (claim.claimed, claim.found) for claim in claims(found)}
    assert told["several models, concurrent"][0] == "3.5x"
    assert told["several models, concurrent"][1].startswith("32.0x in the program's process")
    assert told["memory"] == ("0.7x", "0.90x in the program's process")
    assert "not measured" in told["single model"][1]
    document = json.loads(json.dumps(make_peers_document(found)))
    table = read_table(document)
    assert table and [row[4].text for row in table.rows] == ["1.000", "2.000", "32.000"]
    assert table.notes == ["Playwright is absent: playwright is missing: pip install playwright"]
    assert "several models, concurrent: 32.0x" in document["verdict"]
    assert read_peers(document) == found
    machine = document["machine"] | {"n_processors": 99}
    with pytest.raises(BadInput, match="number of processors"):
        read_peers(document | {"machine": machine})


def test_a_native_program_is_run_and_an_absent_one_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = peer.Peer("gone", "gone", ("selenium_by_hand.py",), needs="no_such_package")
    native = next(each for each in PEERS if each.program == "onnxruntime_python")
    monkeypatch.setattr(measuring, "PEERS", (gone, native))
    monkeypatch.setattr(measuring, "N_WARM", 3)
    kept: list[str] = []

    def save(found: PeersFound) -> None:
        kept.append(write_document(make_peers_document(found)))
        if len(kept) == 1:
            raise KeyboardInterrupt

    cut = measure_peers((), 2, 6, tmp_path, print, save=save)
    assert (cut.n_rounds, cut.is_cut) == (1, True)
    cut = read_peers(json.loads(kept[0]))
    assert cut.n_rounds == 1
    found = measure_peers((), 2, 6, tmp_path, print, cut, save)
    assert len(kept) == 2 and (found.n_rounds, found.is_cut) == (2, False)
    with pytest.raises(BadInput, match="other ways or requests"):
        measure_peers((), 2, 5, tmp_path, print, found)
    assert found.absent == {"gone": "no_such_package is missing on this machine; pip install no_such_package"}
    assert [(one.workload, sum(map(len, one.times_ms))) for one in found.figures] == [
        (ONE_MODEL, 12),
        (THREE_MODELS, 12),
    ]
    assert all(one.memory_mb > 10 for one in found.figures)
