"""Colours and markers that all plots share."""

# Okabe & Ito's colours, which stay apart for colour-blind readers.
COLOURS = ("#D55E00", "#E69F00", "#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#000000", "#999999")
MARKERS = "osD^vPX*"


def style(i: int) -> dict:
    """Colour and marker of the i-th method."""
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)], "ms": 5}
