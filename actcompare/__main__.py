"""`python -m actcompare`."""

from actcompare.cli.app import app

if __name__ == "__main__":
    app(prog_name="actcompare")
