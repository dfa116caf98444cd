"""The tables of README are those of the committed CSV files."""

import pytest

from studies import tables
from studies.page import replace_block


@pytest.mark.parametrize("name", tables.BLOCKS)
def test_a_block_is_what_its_csv_says(name):
    file, make = tables.BLOCKS[name]
    text = (tables.ROOT / file).read_text(encoding="utf-8")
    assert replace_block(text, name, make()) == text, "run `make tables`"


def test_blocks_are_written_in_place(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text("a\n<!-- table: t -->\nold\n<!-- end: t -->\nb\n")
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(tables, "BLOCKS", {"t": ("README.md", lambda: "| new |")})
    tables.run(tables.Config())
    written = (tmp_path / "README.md").read_text()
    assert "| new |" in written
    assert "old" not in written
    assert written.startswith("a\n<!-- table: t -->")
    assert written.endswith("<!-- end: t -->\nb\n")
