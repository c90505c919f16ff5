"""Eight checks of the architecture: `python test_lira.py`. The test suite proper is under tests/ (`make test`)."""

from lira.checks import CHECKS


def main() -> None:
    """Run and report every check; exit status 1 when one fails."""
    failed = 0
    for number, check in enumerate(CHECKS, 1):
        name = check.__name__.replace("_", " ")
        try:
            print(f"pass {number}/{len(CHECKS)}  {name}: {check()}")
        except AssertionError as error:
            failed += 1
            print(f"FAIL {number}/{len(CHECKS)}  {name}: {error}")
    if failed:
        raise SystemExit(f"{failed} of {len(CHECKS)} checks failed.")
    print(f"All {len(CHECKS)} checks pass.")


if __name__ == "__main__":
    main()
