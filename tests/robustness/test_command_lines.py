from tests.robustness.command_lines import fuzz


def test_no_command_line_is_a_defect() -> None:
    codes, findings = fuzz(count=60, seed=1)
    assert findings == []
    assert codes.total() == 60
    assert {"0", "1", "2"} <= codes.keys()
