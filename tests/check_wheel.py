"""Builds the wheel, installs it into an empty environment, and runs its commands from /."""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = (("twistd", "tickstorm", "--help"), ("tickstorm", "--help"))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "build", "--quiet", "--outdir", folder, ROOT], check=True
        )
        (wheel,) = Path(folder).glob("*.whl")
        venv.create(Path(folder, "env"), with_pip=True)
        bin = Path(folder, "env", "bin")
        subprocess.run([bin / "pip", "install", "--quiet", wheel], check=True)
        for command, *arguments in COMMANDS:
            done = subprocess.run(
                [bin / command, *arguments], cwd="/", check=True, capture_output=True, text=True
            )
            if "tickstorm" not in done.stdout:
                sys.exit(f"{command} {' '.join(arguments)} does not speak of tickstorm")
            print(f"from /: {command} {' '.join(arguments)}: right")


if __name__ == "__main__":
    main()
