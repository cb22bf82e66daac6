"""Pictures as SVG that follow the reader's theme: light colours stand in them, and dark ones take their place."""

import re

DARK = {
    "#ffffff": "#0d1117",
    "#000000": "#d5dbe3",
    "#b0b0b0": "#8b949e",
    "#1f5fa8": "#6fa8ef",
    "#c2571a": "#f0935a",
    "#3d8b56": "#63c08a",
    "#8a5fb0": "#b99ae0",
    "#6b7785": "#9ba7b4",
    "#a9b7c6": "#465569",
    "#8fb4dc": "#3d658f",
    "#5b8ec6": "#4f86c2",
}
"""The dark colour in the place of each light one."""

_DECLARATION = re.compile(r"(fill|stroke): (#[0-9a-f]{6})")
_ATTRIBUTE = re.compile(r'(fill|stroke)="(#[0-9a-f]{6})"')


def follow_theme(svg: str) -> str:
    """Return a picture whose colours, all of them in `DARK`, are the dark ones where the reader prefers these.

    A colour becomes a variable that is set in the dark alone, so that programs which know no style sheets, and the
    picture on paper, keep the light one. Text without a colour is black. The ground is painted, because a page may be
    dark for other reasons than the reader's preference.
    """
    used: dict[str, str] = {"#000000": "--ink"}

    def variable(color: str) -> str:
        return f"var({used.setdefault(color, f'--{color[1:]}')}, {color})"

    svg = _DECLARATION.sub(lambda found: f"{found[1]}: {variable(found[2])}", svg)
    svg = _ATTRIBUTE.sub(lambda found: f'style="{found[1]}: {variable(found[2])}"', svg)
    set_dark = "; ".join(f"{name}: {DARK[color]}" for color, name in sorted(used.items()))
    style = f"text {{ fill: {variable('#000000')} }} @media (prefers-color-scheme: dark) {{ :root {{ {set_dark} }} }}"
    end = svg.index(">\n", svg.index("<svg")) + 2
    return f"{svg[:end]}<style>{style}</style>\n{svg[end:]}"
