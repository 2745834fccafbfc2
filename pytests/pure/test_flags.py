"Pure: the kernel's own environment variables, their defaults, and what makes no sense."
from pathlib import Path

import pytest

from ipymini.request.flags import DEFAULTS, flag

JEDI, TIME, NAME = "IPYMINI_USE_JEDI", "IPYMINI_COMPLETION_TIMEOUT", "IPYMINI_CELL_NAME"


@pytest.mark.parametrize("name,text,value", [(JEDI, None, True), (JEDI, "", True), (JEDI, "0", False), (JEDI, " No ", False), (JEDI, "off", False), (JEDI, "1", True), (JEDI, "yes", True),
    (TIME, None, 0.5), (TIME, "", 0.5), (TIME, "2", 2.0), (TIME, "-1", 0.0), (TIME, "soon", 0.5), (NAME, None, ""), (NAME, "cell.py", "cell.py")])
def test_flag(monkeypatch, caplog, name, text, value):
    if text is None: monkeypatch.delenv(name, raising=False)
    else: monkeypatch.setenv(name, text)
    assert flag(name) == value and type(flag(name)) is type(value)
    assert (text == "soon") == ("IPYMINI_COMPLETION_TIMEOUT must be a number of seconds, not 'soon'" in caplog.text)


def test_readme_names_all():
    readme = (Path(__file__).parents[2]/"README.md").read_text()
    assert [n for n in DEFAULTS if f"`{n}`" not in readme] == []
