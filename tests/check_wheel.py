"""Builds the wheel, installs it into an empty environment, and uses it there from /."""

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from threading import Timer
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 30.0
"""Seconds for a server to start, answer and stop."""
IN_THE_WHEEL = (
    "twisted/plugins/tickstorm_plugin.py",
    "tickstorm/py.typed",
    "tickstorm/_pb/tickstorm_pb2.pyi",
    "tickstorm/auction/redis_script.lua",
    "tickstorm/sources/recordings/stocks.csv.gz",
    "tickstorm/sources/recordings/ORIGIN.md",
)
COMMANDS = (
    (("twistd", "--help"), "Stream live prices"),
    (("twistd", "tickstorm", "--help"), "tickstorm"),
    (("tickstorm", "--help"), "tickstorm"),
)
LOOPBACK = "tcp:0:interface=127.0.0.1"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(Path(folder))
        check_contents(wheel)
        bin = install(wheel, Path(folder, "env"))
        for command, words in COMMANDS:
            check_command(bin, command, words)
        check_server(bin, Path(folder))


def build(folder: Path) -> Path:
    command = [sys.executable, "-m", "build", "--quiet", "--outdir", folder, ROOT]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> None:
    missing = set(IN_THE_WHEEL) - set(ZipFile(wheel).namelist())
    if missing:
        sys.exit(f"{wheel.name} is without {', '.join(sorted(missing))}")
    print(f"{wheel.name}: nothing is missing")


def install(wheel: Path, env: Path) -> Path:
    venv.create(env, with_pip=True)
    subprocess.run([env / "bin" / "pip", "install", "--quiet", wheel], check=True)
    return env / "bin"


def check_command(bin: Path, command: tuple[str, ...], words: str) -> None:
    program, *arguments = command
    done = subprocess.run(
        [bin / program, *arguments], cwd="/", check=True, capture_output=True, text=True
    )
    if words not in done.stdout:
        sys.exit(f"{' '.join(command)} does not speak of {words!r}")
    print(f"from /: {' '.join(command)}: right")


def check_server(bin: Path, folder: Path) -> None:
    """Run a server on the recording that is in the wheel, and ask how it is."""
    options = ("--source", "replay:", "--port", LOOPBACK, "--http", LOOPBACK)
    server = subprocess.Popen(
        [bin / "twistd", "-n", f"--pidfile={folder}/twistd.pid", "tickstorm", *options],
        cwd="/",
        stdout=subprocess.PIPE,
        text=True,
    )
    alarm = Timer(TIMEOUT, server.kill)
    alarm.start()
    try:
        where = f"tcp:{operators_port(server)}:interface=127.0.0.1"
        check_health(bin, where, server)
    finally:
        server.terminate()
        server.communicate()
        alarm.cancel()
    print("from /: a server on the bundled recording: tickstorm health finds it ready")


def operators_port(server: "subprocess.Popen[str]") -> int:
    for line in server.stdout or ():
        if "listening for operators" in line:
            return int(json.loads(line)["address"].rpartition(":")[2])
    sys.exit("the server does not start")


def check_health(bin: Path, where: str, server: "subprocess.Popen[str]") -> None:
    environ = {**os.environ, "TICKSTORM_HTTP": where}
    while server.poll() is None:  # until its first tick it is not ready
        done = subprocess.run([bin / "tickstorm", "health"], env=environ, cwd="/", check=False)
        if not done.returncode:
            return
    sys.exit("the server does not become ready")


if __name__ == "__main__":
    main()
