"""srcli: sharp 4x pictures from the command line with lightweight super-resolution networks."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srcli.api import Upscaler, load
    from srcli.pretrained import Model

__version__ = "0.1.0"
__all__ = ["Model", "Upscaler", "__version__", "load"]


def __getattr__(name: str) -> object:
    """Fetch `load`, `Upscaler` and `Model` when they are asked for: they need torch, `import srcli` does not."""
    if name in ("Upscaler", "load"):
        from srcli import api

        return getattr(api, name)
    if name == "Model":
        from srcli.pretrained import Model

        return Model
    raise AttributeError(f"module 'srcli' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
