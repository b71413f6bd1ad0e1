"""The authors' files, read where they lie: one module per dataset, each with `convert(root, split)`.

`root` is a `SourcePath`: a folder as a user downloads it. A zip or tar archive in it counts as if it were unpacked
beside itself, so `root / "train2014" / "x.jpg"` is found in the folder `train2014` or in `train2014.zip`. Nothing is
ever written there.
"""

import csv
import difflib
import gzip
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any

from m3it.rows.instance import SourceError
