"""What to do about an alert: one page each in runbooks/, as it is served at 3 a.m."""

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Final

DIRECTORY: Final = Path(__file__).parent / "runbooks"
HEADINGS: Final = ("What it means", "Look first", "Remedies", "Ignore it when")

_CODE: Final = re.compile("`([^`]+)`")


def pages() -> Mapping[str, Path]:
    """Alert → its page."""
    return {path.stem: path for path in sorted(DIRECTORY.glob("*.md"))}


def as_html(markdown: str) -> str:
    """A page without scripts or style. It knows headings, lists of one line per item, paragraphs and `code`."""
    blocks = markdown.strip().split("\n\n")
    title = escape(blocks[0].removeprefix("# "))
    body = "\n".join(map(_block, blocks))
    return f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>\n{body}\n</html>"


def _block(block: str) -> str:
    if block.startswith("## "):
        return f"<h2>{_inline(block[3:])}</h2>"
    if block.startswith("# "):
        return f"<h1>{_inline(block[2:])}</h1>"
    if block.startswith("- "):
        return "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in block[2:].split("\n- ")) + "</ul>"
    return f"<p>{_inline(block)}</p>"


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False))
