"""A converter's traceback goes to a file that one sentence names; what is no surprise passes as it is."""

import re
from pathlib import Path

import pytest

from lira_export.failures import converter_log
from lira_runtime.errors import BadInput, ParityLost


def test_a_converters_traceback_is_in_the_file_that_the_sentence_names() -> None:
    with pytest.raises(BadInput) as caught, converter_log("denoiser"):
        raise NotImplementedError("no lowering for frobnicate")
    assert "\n" not in str(caught.value)
    log = Path(re.search(r"is in (\S+\.log)\.", str(caught.value))[1])  # type: ignore[index]
    text = log.read_text()
    log.unlink()
    assert text.startswith("Traceback") and "NotImplementedError: no lowering for frobnicate" in text


@pytest.mark.parametrize("error", [ParityLost("lost"), OSError(28, "disk full"), MemoryError(), KeyboardInterrupt()])
def test_what_is_no_surprise_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, converter_log("denoiser"):
        raise error
    assert caught.value is error
