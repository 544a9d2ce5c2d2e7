"""The HTML page of `dvc plots show` and `dvc plots diff`, made to work without network.

DVC's own page loads Vega from a CDN. A page template with Vega inside, named by ``plots.html_template`` in DVC's local
configuration, does not; where nobody made one, DVC uses its own. (Were the template named in the configuration that is in
Git, DVC 3.67 would fail wherever the file is missing: it then takes the path for the page itself.)
"""

import subprocess
import sys
from pathlib import Path

from galaxies.files import write_text

PAGE_NAME = "plots_page.html"
"""The template's name in the folder ``.dvc``."""

# Templates, DVC's own too, say Vega-Lite 5, which later versions draw as well, but with a warning for each plot.
# A plot without data has no spec, only {}: there is nothing to draw.
_SNIPPET = """window.vegaEmbed = (element, { $schema, ...spec }) =>
  Object.keys(spec).length && vegaEmbed(element, spec, { mode: 'vega-lite' });"""

# {plot_divs} and {refresh_tag} are DVC's; without {scripts} its links to the CDN are left out. The bundle stands in a function
# of its own, because DVC's scripts use global names such as `spec`.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>DVC Plot</title>
<style>
body { font-family: sans-serif; margin: 24px; display: flex; flex-wrap: wrap; column-gap: 64px; align-items: flex-start }
body > div { max-width: 100% }
div:has(> div > img), div:has(> img) { border: none !important; text-align: left !important }
div:has(> img):not(:only-of-type) { width: 48% }
img { max-width: 100% }
.vega-embed.vega-embed { display: block; width: fit-content; margin-bottom: 40px }
</style>
<script>(() => {
@bundle@
})()</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def install_plots_page(dvc_folder: Path) -> None:
    """Write the template into the folder ``.dvc`` and name it in ``.dvc/config.local``, which is not in Git."""
    # Of the development tools: nothing else of this package needs it.
    import vl_convert

    bundle = vl_convert.javascript_bundle(_SNIPPET)
    write_text(dvc_folder / PAGE_NAME, _PAGE.replace("@bundle@", bundle))
    command = (sys.executable, "-m", "dvc", "config", "--local", "plots.html_template", PAGE_NAME)
    subprocess.run(command, cwd=dvc_folder.parent, check=True)
