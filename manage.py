"""Run a tradedesk management command."""

import sys

MINIMUM_PYTHON = (3, 11)


def main() -> None:
    if sys.version_info < MINIMUM_PYTHON:
        sys.exit("tradedesk needs Python 3.11 or newer; this is {}.{}.".format(*sys.version_info[:2]))
    from tradedesk.env import prepare_process

    prepare_process()
    if len(sys.argv) > 1 and not {"-h", "--help", "help", "--version"} & set(sys.argv[1:]):
        from tradedesk.compiling import kernels_compiled

        kernels_compiled()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
