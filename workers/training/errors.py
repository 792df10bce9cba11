"""What the engine refuses; numerical fates are StopReasons, not errors."""

from descend.errors import DescendError, InvalidInput

__all__ = ["CheckpointMismatch", "DeviceUnavailable"]


class DeviceUnavailable(DescendError):
    """This machine does not have the device that was asked for."""

    code = "device_unavailable"


class CheckpointMismatch(InvalidInput):
    """The checkpoint belongs to another problem, or is damaged."""

    code = "checkpoint_mismatch"
