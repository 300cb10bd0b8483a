"""`python -m actcompare`."""

from actcompare.cli import app

if __name__ == "__main__":
    app(prog_name="actcompare")
