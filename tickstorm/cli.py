"""`tickstorm`: the command line. Each command is a module of `tickstorm.commands`."""

import click

from tickstorm import __version__
from tickstorm.commands.auction import auction
from tickstorm.commands.bench import bench
from tickstorm.commands.bid import bid
from tickstorm.commands.config import config
from tickstorm.commands.decode import decode
from tickstorm.commands.health import health
from tickstorm.commands.publish import publish
from tickstorm.commands.record import record
from tickstorm.commands.watch import watch


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tickstorm", message="%(prog)s %(version)s")
def main() -> None:
    """Watch, record, feed and examine Tickstorm streams, bid, and check a server and its settings.

    The server itself runs as: twistd -n tickstorm
    """


for command in (watch, record, publish, bid, auction, decode, health, config, bench):
    main.add_command(command)
