"""Judges: what a shell offers after `lmbroker --generate-completion-script`."""

import os
import socket
import subprocess
import time

import pytest

from broker import BINARY, lmbroker, run_tool

# Calls the function as bash does when the last word is to be completed.
COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9; COMP_KEY=9
_lmbroker lmbroker "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    script = tmp_path_factory.mktemp("completion") / "lmbroker.bash"
    script.write_text(lmbroker("--generate-completion-script", "bash").stdout)
    path = f"{BINARY.parent}:{os.environ['PATH']}"

    def offered(*words):
        done = subprocess.run(["bash", "--norc", "-c", COMPLETE, "bash", str(script), "lmbroker", *words], capture_output=True, text=True,
                              timeout=30, env=dict(os.environ, PATH=path))
        assert done.returncode == 0, done.stderr
        return [word.strip() for word in done.stdout.splitlines() if word.strip()]

    return offered


def test_commands_and_options_are_offered(complete):
    assert complete("con") == ["consume", "config"]
    assert "--until-end" in complete("consume", "--u")
    assert complete("produce", "--codec", "z") == ["zstd"]
    assert set(complete("produce", "--acks", "")) == {"all", "1", "0"}


def test_names_are_asked_of_the_broker(complete, broker, topic):
    broker.create_topic(topic)
    run_tool("kcat", "-b", broker.bootstrap, "-P", "-t", topic, stdin="x\n")
    lmbroker("consume", topic, "--group", topic, "--until-end", "--broker", broker.bootstrap)
    assert complete("consume", "--broker", broker.bootstrap, topic[:-1]) == [topic]
    assert complete("group", "describe", "-b", broker.bootstrap, topic[:-1]) == [topic]
    # Who does not answer has no names, and nothing else is wrong.
    assert complete("consume", "--broker", "127.0.0.1:1", topic[:-1]) == []


def test_a_broker_that_does_not_answer_is_not_waited_for(complete):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        assert complete("consume", "--broker", f"127.0.0.1:{silent.getsockname()[1]}", "x") == []
        assert time.monotonic() - begun < 8


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script(shell):
    assert "until-end" in lmbroker("--generate-completion-script", shell).stdout
