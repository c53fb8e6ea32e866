"""Which commands fulfil a wish, and that they are run, once, until they succeed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from browser_runtime.errors import BadInput, SetupError
from scheduler.autoscaling.bounds import Bounds, parse_bounds
from scheduler.autoscaling.desired import Wish
from scheduler.autoscaling.scalers import ComposeScaler, Follower, KubernetesScaler, hosts, run_all
from webinfer.commands.scale import command, parse_names

WISH = Wish("chrome-vision", 2, ("chrome@0123456789ab",), "as tested", 1.0)
NAMES = {"chrome-vision": "worker-chrome"}


def test_compose_stops_the_chosen_container_then_sets_the_number() -> None:
    assert ComposeScaler(NAMES, options=("-f", "c.yml")).commands(WISH) == [
        ["docker", "stop", "--time", "60", "0123456789ab"],
        ["docker", "rm", "0123456789ab"],
        [
            "docker",
            "compose",
            "-f",
            "c.yml",
            "up",
            "--detach",
            "--no-recreate",
            "--no-deps",
            "--scale",
            "worker-chrome=2",
            "worker-chrome",
        ],
    ]
    assert ComposeScaler(NAMES, ("docker-compose",)).commands(WISH)[-1][:2] == ["docker-compose", "up"]


def test_kubernetes_marks_the_chosen_pod_then_sets_the_number() -> None:
    mark, scale = KubernetesScaler(NAMES, "ml").commands(WISH)
    assert mark[:6] == ["kubectl", "--namespace", "ml", "annotate", "--overwrite", "pod"]
    assert mark[6:] == ["0123456789ab", "controller.kubernetes.io/pod-deletion-cost=-100"]
    assert scale == ["kubectl", "--namespace", "ml", "scale", "deployment/worker-chrome", "--replicas=2"]


def test_only_names_with_a_host_name_one() -> None:
    assert hosts(["chrome@a", "starting-0", "chrome-2@b.c"]) == ["a", "b.c"]


def test_a_wish_is_fulfilled_once_and_a_rehearsed_one_never() -> None:
    follower = Follower(KubernetesScaler(NAMES), list(NAMES))
    other, dry = Wish("edge-text", 2, (), "", 1.0), Wish("chrome-vision", 2, (), "", 1.0, dry_run=True)
    assert follower.plan({"edge-text": other, "chrome-vision": dry}) == []
    assert [wish for wish, _ in follower.plan({"chrome-vision": WISH})] == [WISH]
    assert follower.plan({"chrome-vision": WISH})  # not yet done
    follower.fulfilled(WISH)
    assert follower.plan({"chrome-vision": WISH}) == []


def test_commands_are_run_in_order_until_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "kubectl"
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/seen\n[ "$1" != fail ] || {{ echo no such pod >&2; exit 3; }}\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    run_all([["kubectl", "scale", "x"]])
    with pytest.raises(SetupError, match=r"kubectl fail.*no such pod"):
        run_all([["kubectl", "one"], ["kubectl", "fail"], ["kubectl", "never"]])
    assert (tmp_path / "seen").read_text().splitlines() == ["scale x", "one", "fail"]
    with pytest.raises(SetupError, match="no-such-program"):
        run_all([["no-such-program"]])


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
