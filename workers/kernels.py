"""Which processor and which kernels compute here; for the receipt, and to compare workers by."""

from functools import cache
from pathlib import Path

import numpy  # noqa: F401  loads its BLAS
import scipy.linalg  # noqa: F401  loads its BLAS
import torch
from threadpoolctl import threadpool_info

from storage.kernels import kernel_environment
from workers.frames import Platform

__all__ = ["platform"]

_CPU_INFO = Path("/proc/cpuinfo")


@cache
def platform() -> Platform:
    """Name the processor and everything that chooses among kernels on it.

    MKL chooses by vendor and instructions and does not tell, hence both; OpenBLAS names its
    choice. Variables stand as they were set, since not all of them show in what the libraries say.
    """
    cpu = _cpu_fields()
    blas = sorted(
        f"{one['internal_api']} {one['version']} {one['architecture']}"
        for one in threadpool_info()
        if one["user_api"] == "blas" and "architecture" in one
    )
    has_mkl = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    math = f"mkl {cpu.get('vendor_id', 'unknown')}" if has_mkl else ""
    vectors = f"torch {torch.__version__} {torch.backends.cpu.get_cpu_capability()}"
    chosen = [f"{name}={value}" for name, value in sorted(kernel_environment().items())]
    return Platform(
        torch_version=torch.__version__,
        cpu=cpu.get("model name") or str(torch.cpu.get_capabilities()["cpu_name"]),
        kernel="; ".join(part for part in (*blas, math, vectors, *chosen) if part),
    )


def _cpu_fields() -> dict[str, str]:
    """Read what Linux says of the first processor; elsewhere nothing."""
    try:
        first = _CPU_INFO.read_text(errors="replace").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
