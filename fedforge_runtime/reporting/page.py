"""Pages from Jinja templates: one file without scripts or external parts, which can be mailed and archived."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def render_page(template: str, **values: object) -> str:
    """The HTML of `templates/<template>`, for example `run.html.j2`, which extends `base.html.j2`.

    Every value is escaped, except the `Markup` that `charts` and the macros of `components.html.j2` return.

    Raises:
        jinja2.UndefinedError: the template uses a value that was not given.
    """
    return _environment().get_template(template).render(**values)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from fedforge_runtime import __version__

    environment = Environment(
        loader=PackageLoader("fedforge_runtime.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["fedforge_version"] = __version__
    return environment
