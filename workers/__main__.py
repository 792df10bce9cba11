"""python -m workers"""

import gc
import sys

gc.disable()  # imports make much and leave no garbage: a sixth of the start
from workers.app import build  # noqa: E402

gc.enable()

# Started as a module: the fork server's children import `__main__` again where it is a script.
if __name__ == "__main__":
    sys.exit(build().run())
