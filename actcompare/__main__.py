"""`actcompare` and `python -m actcompare`."""

import os
import signal


def main() -> None:
    """Run the command line; an interrupt ends it with one word, also while it is being loaded."""
    try:
        from actcompare.cli.app import app

        app(prog_name="actcompare")
    except KeyboardInterrupt:
        os.write(2, b"interrupted\n")
        raise SystemExit(130) from None
    finally:
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # nothing is left to clean up


if __name__ == "__main__":
    main()
