"""Which commands fulfil a wish, and that they are run, once, until they succeed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from browser_runtime.contract.errors import BadInput, SetupError
from scheduler.autoscaling.bounds import Bounds, parse_bounds
from scheduler.autoscaling.desired import DesiredWorkers
from scheduler.autoscaling.scalers import (
    Command,
    ComposeScaler,
    Follower,
    KubernetesScaler,
    Scaler,
    ScalerFailed,
    hosts,
    run_all,
)
from webinfer.commands.scale import command, parse_names

WISH = DesiredWorkers("chrome-vision", 2, ("chrome@0123456789ab",), "as tested", 1.0)
NAMES = {"chrome-vision": "worker-chrome"}


def words(scaler: Scaler) -> list[str]:
    return [str(command) for command in scaler.commands(WISH)]


def test_compose_stops_the_chosen_container_then_sets_the_number() -> None:
    up = "up --detach --no-recreate --no-deps --scale worker-chrome=2 worker-chrome"
    assert words(ComposeScaler(NAMES, options=("-f", "c.yml"))) == [
        "docker stop --time 60 0123456789ab",
        "docker rm 0123456789ab",
        f"docker compose -f c.yml {up}",
    ]
    assert words(ComposeScaler(NAMES, ("docker-compose",)))[-1] == f"docker-compose {up}"


def test_kubernetes_marks_the_chosen_pod_then_sets_the_number() -> None:
    cost = "controller.kubernetes.io/pod-deletion-cost=-100"
    assert words(KubernetesScaler(NAMES, "ml")) == [
        f"kubectl --namespace ml annotate --overwrite pod 0123456789ab {cost}",
        "kubectl --namespace ml scale deployment/worker-chrome --replicas=2",
    ]


def test_only_names_with_a_host_name_one() -> None:
    assert hosts(["chrome@a", "starting-0", "chrome-2@b.c"]) == ["a", "b.c"]


def test_a_wish_is_fulfilled_once_and_a_rehearsed_one_never() -> None:
    follower = Follower(KubernetesScaler(NAMES), list(NAMES))
    other, dry = (
        DesiredWorkers("edge-text", 2, (), "", 1.0),
        DesiredWorkers("chrome-vision", 2, (), "", 1.0, dry_run=True),
    )
    assert follower.plan({"edge-text": other, "chrome-vision": dry}) == []
    assert [wish for wish, _ in follower.plan({"chrome-vision": WISH})] == [WISH]
    assert follower.plan({"chrome-vision": WISH})  # not yet done
    follower.note_done(WISH)
    assert follower.plan({"chrome-vision": WISH}) == []


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of this name that keeps what it was asked in the file that is given."""
    program, seen = tmp_path / "kubectl", tmp_path / "seen"
    gone = 'Error from server (NotFound): pods "x" not found'
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {seen}\n'
        'case "$1" in fail) echo forbidden >&2; exit 3;; '
        f"gone) echo '{gone}' >&2; exit 1;; esac\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return seen


def ask(*words: str, may_be_gone: bool = False) -> Command:
    return Command(("kubectl", *words), may_be_gone)


def test_commands_are_run_in_order_until_one_fails(kubectl: Path) -> None:
    run_all([ask("scale", "x")])
    with pytest.raises(ScalerFailed, match="`kubectl fail` failed: forbidden"):
        run_all([ask("one"), ask("fail", may_be_gone=True), ask("never")])
    assert kubectl.read_text().splitlines() == ["scale x", "one", "fail"]
    with pytest.raises(SetupError, match="no-such-program"):
        run_all([Command(("no-such-program",))])


def test_what_is_gone_already_is_done_but_a_missing_deployment_is_not(kubectl: Path) -> None:
    run_all([ask("gone", may_be_gone=True), ask("scale", "x")])
    assert kubectl.read_text().splitlines() == ["gone", "scale x"]
    with pytest.raises(ScalerFailed, match=r"`kubectl gone deployment` failed: .*NotFound"):
        run_all([ask("gone", "deployment")])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("chrome-vision", {"chrome-vision": Bounds(1, 4)}),
        (" chrome-vision=0:2, edge-text=1:1", {"chrome-vision": Bounds(0, 2), "edge-text": Bounds(1, 1)}),
    ],
)
def test_bounds(text: str, found: dict[str, Bounds]) -> None:
    assert parse_bounds(text, Bounds(1, 4)) == found


@pytest.mark.parametrize("text", ["chrome", "chrome-vision=2", "chrome-vision=3:2", "chrome-vision=0:0"])
def test_mistaken_bounds_are_one_sentence(text: str) -> None:
    with pytest.raises(BadInput, match="WEBINFER_AUTOSCALE_QUEUES is"):
        parse_bounds(text, Bounds(1, 4))


def test_names() -> None:
    assert parse_names(("chrome-vision=web",))["chrome-vision"] == "web"
    assert parse_names(())["edge-text"] == "worker-edge"
    with pytest.raises(BadInput, match="--name"):
        parse_names(("chrome=web",))


def test_help_needs_no_redis() -> None:
    assert "autoscaling" in CliRunner().invoke(command, ["--help"]).output
