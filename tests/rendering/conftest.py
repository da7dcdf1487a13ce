"""The compiled renderer for the tests that need it."""

import pytest

from ssgan_core.errors import SsganError
from ssgan_core.rendering import kernels


@pytest.fixture(scope="session")
def kernel() -> None:
    """The compiled kernel: from the cache, else compiled now, once a machine."""
    try:
        kernels.build()
    except SsganError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def _kernel_for_native(request: pytest.FixtureRequest) -> None:
    """A test that is run for the backend `native` needs the kernel."""
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and callspec.params.get("backend") == "native":
        request.getfixturevalue("kernel")
