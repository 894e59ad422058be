import subprocess
import sys


def test_reports_need_no_torch():
    code = "import sys, robustpeft.report; sys.exit(bool({'torch', 'torchvision', 'timm'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
