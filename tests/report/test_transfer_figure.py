import re
import xml.etree.ElementTree as ET

from robustpeft.report.transfer_figure import transfer_figure


def test_every_share_is_written_and_no_name_of_a_user_is_drawn(transfer_record):
    svg = transfer_figure(transfer_record, "t")
    root = ET.fromstring(svg)
    texts = ["".join(node.itertext()).strip() for node in root.iter() if node.tag.endswith("text")]
    assert {"10.0", "40.0", "70.0", "60.0", "20.0", "30.0"} <= set(texts)
    assert {"1", "2", "3", "shown to", "made against"} <= set(texts)
    assert not any("two" in text for text in texts)


def test_more_is_darker_in_one_hue(transfer_record):
    svg = transfer_figure(transfer_record, "t")
    shades = [float(found) for found in re.findall(r"var\(--series-1[^;]*;\s*opacity: ([0-9.]+)", svg)]
    assert len(shades) == 9
    assert max(shades) == 0.5 * 0.7
    assert "var(--series-2" not in svg


def test_it_is_the_same_every_time(transfer_record):
    assert transfer_figure(transfer_record, "t") == transfer_figure(transfer_record, "t")
