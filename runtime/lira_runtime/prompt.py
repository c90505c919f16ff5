"""What is wrong with a prompt before any tokenizer looks at it. Whether it is too long, a tokenizer alone can tell."""

from lira_runtime.errors import BadInput


def check_prompt(prompt: str) -> None:
    """Raise BadInput where there is nothing to draw: it is empty, or not valid Unicode."""
    if not prompt.strip():
        raise BadInput("the prompt is empty; say what to draw.")
    check_unicode(prompt)


def check_unicode(prompt: str) -> None:
    """Raise BadInput where it is not valid Unicode."""
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInput("the prompt is not valid Unicode text.") from error
