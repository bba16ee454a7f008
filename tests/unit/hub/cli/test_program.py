import asyncio
import os
from pathlib import Path

import pytest

from hub.cli.agents import Outcome
from hub.cli.program import Program


class Listener:
    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.heard = asyncio.Event()

    async def say(self, piece: str) -> None:
        self.pieces.append(piece)
        self.heard.set()

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@pytest.fixture
def listener() -> Listener:
    return Listener()


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


async def gone(pid: int) -> None:
    """Wait until the kernel has carried out the signal, which was sent already."""
    async with asyncio.timeout(5.0):
        while is_running(pid):
            await asyncio.sleep(0.005)


async def test_the_question_goes_in_and_the_answer_comes_out(listener: Listener) -> None:
    assert await Program("cat", 20.0).answer("hällo\n", listener.say) == Outcome(0)
    assert listener.text == "hällo\n"


async def test_arguments_are_split_as_a_shell_would_without_a_shell(listener: Listener) -> None:
    await Program("printf '%s|' 'a b' $HOME ';'", 20.0).answer("", listener.say)
    assert listener.text == "a b|$HOME|;|"


@pytest.mark.parametrize("command", ["", "   ", "echo 'open"])
def test_what_cannot_be_split(command: str) -> None:
    with pytest.raises(ValueError, match=r"empty|quotation"):
        Program(command, 1.0)


async def test_a_failing_program_tells_its_code_and_the_end_of_its_stderr(listener: Listener) -> None:
    outcome = await Program("sh -c 'echo out; yes e | head -c 9000 >&2; echo why >&2; exit 3'", 20.0).answer(
        "", listener.say
    )
    assert (outcome.exit_code, outcome.failure) == (3, "exit code 3")
    assert outcome.stderr.endswith("why")
    assert len(outcome.stderr) <= 2000
    assert listener.text == "out\n"


async def test_pieces_come_as_they_are_made(listener: Listener, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    asking = asyncio.create_task(Program(f"sh -c 'echo one; read x < {gate}; echo two'", 20.0).answer("", listener.say))
    await listener.heard.wait()
    assert listener.text == "one\n"
    await asyncio.to_thread(gate.write_text, "go\n")
    assert (await asking).exit_code == 0
    assert listener.text == "one\ntwo\n"


async def test_no_character_is_split(listener: Listener, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    command = f'sh -c \'printf "a\\303"; read x < {gate}; printf "\\244b\\377"\''
    asking = asyncio.create_task(Program(command, 20.0).answer("", listener.say))
    await listener.heard.wait()
    await asyncio.to_thread(gate.write_text, "go\n")
    await asking
    assert [piece for piece in listener.pieces if piece] == ["a", "äb\N{REPLACEMENT CHARACTER}"]


async def test_a_program_need_not_read_its_input(listener: Listener) -> None:
    assert (await Program("true", 20.0).answer("x" * 1_000_000, listener.say)).exit_code == 0


async def test_large_in_and_large_out_at_once(listener: Listener) -> None:
    question = "0123456789" * 100_000
    assert (await Program("cat", 20.0).answer(question, listener.say)).exit_code == 0
    assert listener.text == question


async def test_half_a_surrogate_pair_does_no_harm(listener: Listener) -> None:
    assert (await Program("cat", 20.0).answer("a\ud800b", listener.say)).exit_code == 0
    assert listener.text == "a?b"


async def test_the_time_limit_stops_it_with_all_that_it_started(listener: Listener) -> None:
    outcome = await Program("sh -c 'sleep 1000 & echo $!; wait'", 0.5).answer("", listener.say)
    assert (outcome.exit_code, outcome.failure) == (None, "stopped after 0.5 s")
    await gone(int(listener.text))


async def test_a_program_that_ignores_sigterm_is_killed(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.cli.program._TERMINATE_GRACE_S", 0.1)
    command = "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done'"
    await Program(command, 0.5).answer("", listener.say)
    await gone(int(listener.text))


async def test_cancelling_ends_the_whole_group(listener: Listener) -> None:
    asking = asyncio.create_task(Program("sh -c 'sleep 1000 & echo $!; wait'", 100.0).answer("", listener.say))
    await listener.heard.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await gone(int(listener.text))


async def test_a_child_left_behind_does_not_hold_the_answer(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.cli.program._LEFTOVER_GRACE_S", 0.05)
    outcome = await Program("sh -c 'sleep 1000 & echo $!'", 20.0).answer("", listener.say)
    assert outcome.exit_code == 0
    await gone(int(listener.text))


async def test_what_a_slow_reader_has_not_taken_yet_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.cli.program._LEFTOVER_GRACE_S", 0.01)
    sizes: list[int] = []

    async def slowly(piece: str) -> None:
        await asyncio.sleep(0.02)
        sizes.append(len(piece))

    await Program("head -c 300000 /dev/zero", 20.0).answer("", slowly)
    assert sum(sizes) == 300_000


async def test_a_program_that_is_not_there(listener: Listener) -> None:
    outcome = await Program("/no/such/program", 1.0).answer("", listener.say)
    assert outcome.exit_code is None
    assert outcome.failure == "cannot run /no/such/program: No such file or directory"


async def test_the_program_sees_no_token_and_no_secret(listener: Listener) -> None:
    environment = {**os.environ, "HUB_TOKEN": "t", "HUB_JWT_SECRET": "s", "HUB_JWT_SECRETS": "k:s", "KEPT": "yes"}
    await Program("env", 20.0, environment).answer("", listener.say)
    assert "HUB_" not in listener.text
    assert "KEPT=yes\n" in listener.text


async def test_a_stranger_that_holds_the_pipes_is_not_waited_for_beyond_the_time_limit(listener: Listener) -> None:
    outcome = await Program("sh -c 'setsid sleep 3 & exit 4'", 0.3).answer("", listener.say)
    assert outcome.failure == "stopped after 0.3 s"
