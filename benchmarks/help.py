"""Seconds until `mmmie --help` has answered, against those of an interpreter that does nothing.

python benchmarks/help.py [--quick]
"""

import argparse
import statistics
import subprocess
import sys
import time

NOTHING = "pass"
HELP = "from mmmie.cli.main import main; main(['--help'])"
LOADED = f"{HELP}; import sys; print('torch' in sys.modules)"


def seconds(code: str, times: int) -> float:
    """Of a fresh process that runs `code`, the median."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    times = 2 if parser.parse_args().quick else 15
    nothing, asked = seconds(NOTHING, times), seconds(HELP, times)
    loaded = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True)
    print(f"medians of {times} processes, one after another\n")
    print(f"{'an empty program':<26}{nothing:>8.3f} s")
    print(f"{'mmmie --help':<26}{asked:>8.3f} s   {asked / nothing:.1f} times an empty program")
    print(f"{'torch imported':<26}{loaded.stdout.split()[-1]:>8}")
    print("\naims: below 0.3 s, torch not imported")


if __name__ == "__main__":
    main()
