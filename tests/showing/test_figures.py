"""m3it/showing/figures.py: the figures of README."""

from conftest import ROOT

from M3IT import CATALOGUE
from m3it.showing.figures import draw_figures
from m3it.showing.stats import all_stats


def test_the_sample_is_measured_and_the_figures_are_drawn(tmp_path):
    stats = all_stats(str(ROOT))
    assert set(CATALOGUE) <= set(stats["measured"])
    assert stats["measured"]["nlvr"]["images"] == 2 and stats["measured"]["vist"]["images"] == 5
    drawn = list(draw_figures(stats, str(ROOT), tmp_path))
    assert [path.stem for path in drawn] == [
        "task_coverage",
        "instruction_stat",
        "task_stat",
        "data_instance",
        "contact_sheet",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000 for path in drawn)
