"""``python -m infraspot`` is the command ``infraspot``."""

import sys

from infraspot.cli.main import main

sys.exit(main())
