"""What holds for a whole run of the tests."""

import harness


def pytest_sessionfinish(session, exitstatus):
    """The threshold of the statistical harness is shared among at most so many assertions."""
    if harness.counted["accepted"] > harness.ASSERTIONS:
        raise AssertionError(f"{dict(harness.counted)} statistical assertions; raise harness.ASSERTIONS")
