"""The variables that choose which kernels of BLAS, MKL and PyTorch compute: children inherit them.

Two kernels sum in different orders, so their last bits differ. A process that hands its child a
bare environment hands over these too, or parent and child would compute different numbers.
Numbers of threads are not among them: every pool of ours has one thread, whatever the shell says.
"""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["KernelVariables", "kernel_environment"]


class KernelVariables(BaseSettings):
    """What the process was started with; None where a library chooses by itself."""

    model_config = SettingsConfigDict(case_sensitive=True, extra="ignore", env_ignore_empty=True)

    openblas_coretype: str | None = Field(None, alias="OPENBLAS_CORETYPE")
    openblas_l2_size: str | None = Field(None, alias="OPENBLAS_L2_SIZE")
    mkl_cbwr: str | None = Field(None, alias="MKL_CBWR")
    mkl_enable_instructions: str | None = Field(None, alias="MKL_ENABLE_INSTRUCTIONS")
    aten_cpu_capability: str | None = Field(None, alias="ATEN_CPU_CAPABILITY")


def kernel_environment() -> dict[str, str]:
    """Return the variables that are set, by their names."""
    return KernelVariables().model_dump(by_alias=True, exclude_none=True)
