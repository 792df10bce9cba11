"""python -m workers"""

import sys

from workers.app import build

# Started as a module: the fork server's children import `__main__` again where it is a script.
if __name__ == "__main__":
    sys.exit(build().run())
