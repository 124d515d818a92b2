"""The chart library, as the pinned package `vl-convert-python` brings it: nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
from functools import cache

SNIPPET = "window.vegaEmbed = vegaEmbed;"


@cache
def library() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, below 1 MB; about two seconds of a core.

    An end of a script element within it is written so that it ends none.
    """
    import vl_convert

    script: str = vl_convert.javascript_bundle(SNIPPET)
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def allowed(*scripts: str) -> str:
    """Return the sources of a content security policy that let these scripts run, and no other."""
    return " ".join(
        "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
        for text in scripts
    )
