"""What M3IT holds, counted: rows, instructions, answers, pictures, languages, licenses."""

from M3IT import Dataset

# Licenses that allow commercial use by their text, given attribution or share-alike. All else, "unknown", counts as no.
COMMERCIAL = {"Apache-2.0", "MIT", "CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0", "BSD-2-Clause", "BSD-3-Clause"}


def allows_commercial_use(dataset: Dataset) -> bool:
    """Whether the annotations and the pictures are both under a license of the list above."""
    return dataset.license in COMMERCIAL and dataset.image_license in COMMERCIAL
