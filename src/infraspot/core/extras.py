"""Parts of infraspot that need packages of their own, and how to install them."""

from importlib.util import find_spec

from infraspot.core.errors import InfraspotError, UsageError

# From an extra of the package to the modules that it brings.
EXTRAS = {
    "train": ("torch", "lightning_fabric"),
    "export": ("torch", "onnx", "onnxscript"),
    "annotate": ("starlette", "uvicorn"),
    "serve": ("starlette", "uvicorn"),
    "report": ("matplotlib", "jinja2"),
    "video": ("av",),
    "archive": ("pyarrow",),
    "hdf5": ("h5py",),
    "ray": ("ray", "pyarrow"),
    "openvino": ("openvino",),
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow",),
    "sam": ("torch", "transformers"),
    "detr": ("torch", "transformers"),
    "text": ("torch", "transformers"),
}


def is_installed(module: str) -> bool:
    """Whether a module can be found; it is not imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def require(extra: str, purpose: str, kind: type[InfraspotError] = UsageError) -> None:
    """Check that the packages of an extra are installed, before any work.

    Parameters
    ----------
    extra
        A key of :data:`EXTRAS`.
    purpose
        What needs them; the first words of the sentence.
    kind
        Of the error: ``InputError`` where one input needs them, and the others can be used.

    Raises
    ------
    InfraspotError
        Of that kind, if one is missing; the sentence has the line that installs it.
    """
    missing = [module for module in EXTRAS[extra] if not is_installed(module)]
    if missing:
        raise missing_extra(extra, purpose, missing, kind)


def missing_extra(
    extra: str, purpose: str, missing: list[str], kind: type[InfraspotError] = UsageError
) -> InfraspotError:
    """The error for packages that are not installed."""
    return kind(
        f"{purpose} needs {' and '.join(missing)}, which this installation does not have; install with"
        f" `pip install 'infraspot[{extra}]'`"
    )


def extra_of(module: str) -> str | None:
    """The smallest extra that brings a module, or None where no extra does."""
    holders = [extra for extra, modules in EXTRAS.items() if module in modules]
    return min(holders, key=lambda extra: len(EXTRAS[extra]), default=None)
