"""Codes of errors, for programs: `code` of the event `error`, and why `lira-verify` refuses something.

They are stable: one may be added, none changes its meaning or its exit code. Whatever runs bundles, in any language,
uses those of `DAMAGED`, `NUMBERS` and `MEMORY`. docs/commands.md lists them all.
"""

from collections.abc import Mapping
from typing import Literal

Code = Literal[
    "bad_input",
    "usage",
    "no_bundle",
    "not_installed",
    "not_writable",
    "disk_full",
    "io_error",
    "in_use",
    "exists",
    "weights_missing",
    "weights_unreadable",
    "weights_differ",
    "weights_not_finite",
    "not_converted",
    "not_checked",
    "not_ready",
    "over_budget",
    "out_of_memory",
    "parity_lost",
    "not_quantized",
    "not_delegated",
    "not_finite",
    "damaged",
    "manifest_missing",
    "manifest_unreadable",
    "manifest_version",
    "manifest_checksum",
    "manifest_path",
    "manifest_inconsistent",
    "missing",
    "link",
    "unreadable",
    "wrong_size",
    "wrong_sha256",
    "extra",
    "tokenizer_unreadable",
    "tensor_not_finite",
    "graph_refused",
    "graph_failed",
    "contents_differ",
    "golden_differs",
    "unsigned",
    "wrong_signature",
    "interrupted",
    "internal",
    "files_damaged",
    "package_missing",
    "not_stored",
    "no_key",
]

REQUEST: Mapping[Code, str] = {
    "bad_input": "the request cannot be served as asked; the message says why",
    "usage": "the command line itself: an unknown option, a value of the wrong kind",
    "no_bundle": "there is no bundle at the place that was named",
    "not_installed": "a package is missing; the message names what installs it",
    "not_writable": "a place that was to be written to cannot be",
    "disk_full": "the disk is full; nothing was left half written",
    "io_error": "the operating system failed to read or write",
    "in_use": "another export is writing the same output",
    "exists": "the output is there already and was not to be overwritten",
    "weights_missing": "no weights where a checkpoint or encoder was named, or of a kind that is not read (pickle)",
    "weights_unreadable": "a file of weights is damaged",
    "weights_differ": "names, shapes, dtypes or preset of weights are not those that were asked for",
    "weights_not_finite": "weights hold NaN or infinity",
    "not_converted": "a converter of another project failed; the message names its log",
    "not_checked": "a check that was asked for cannot be made on this machine",
    "not_ready": "lira-doctor found something that stands in the way",
}
"""Exit code 2: bad input."""
MEMORY: Mapping[Code, str] = {
    "over_budget": "a budget is, or would be, exceeded",
    "out_of_memory": "the machine ran out of memory",
}
"""Exit code 3: over budget."""
NUMBERS: Mapping[Code, str] = {
    "parity_lost": "a graph does not compute what the model computes, within its threshold",
    "not_quantized": "a file is not quantized as its recipe says, or the runtime unpacks it",
    "not_delegated": "a graph holds what it must not, or what an accelerator would leave to slower kernels",
    "not_finite": "a graph returned NaN or infinity",
}
"""Exit code 4: parity."""
DAMAGED: Mapping[Code, str] = {
    "damaged": "lira-verify found something wrong; its `check` events say what",
    "manifest_missing": "the folder holds no manifest.json",
    "manifest_unreadable": "manifest.json is no JSON, too large, or lacks or mistypes a field",
    "manifest_version": "the manifest has a format version that this program does not read",
    "manifest_checksum": "the manifest does not have the checksum that it says",
    "manifest_path": "the manifest names a path that could leave the bundle",
    "manifest_inconsistent": "the manifest contradicts itself: names, shapes, resolutions",
    "missing": "a file that the manifest names is not there",
    "link": "a file is a link, or lies behind one",
    "unreadable": "a file cannot be read",
    "wrong_size": "a file has another size than the manifest says",
    "wrong_sha256": "a file has another SHA-256 than the manifest says",
    "extra": "the folder holds what the manifest does not name",
    "tokenizer_unreadable": "the tokenizer's file is not CLIP's tokenizer",
    "tensor_not_finite": "a stored tensor holds NaN or infinity",
    "graph_refused": "an engine cannot open a graph, or its tensors are not the manifest's",
    "graph_failed": "a graph failed while it ran",
    "contents_differ": "ops, products or bytes by dtype are not those that the manifest counts",
    "golden_differs": "a graph does not return what it returned at export",
    "unsigned": "the bundle is not signed, and had to be",
    "wrong_signature": "the signature is not that of the key for this manifest",
}
"""Exit code 5: damaged or untrusted bundle."""
OTHERS: Mapping[int, Mapping[Code, str]] = {
    130: {"interrupted": "by Ctrl-C or SIGTERM"},
    1: {"internal": "a fault of this project; the traceback is on stderr"},
}
NOT_CHECKED: Mapping[Code, str] = {
    "files_damaged": "its files are damaged",
    "package_missing": "a package is missing; the check names what installs it",
    "not_stored": "the bundle does not store what it needs",
    "no_key": "the bundle is signed, and no key was named",
}
"""Why `lira-verify` did not make a check; a signature may be `unsigned` too. No error has these codes."""
CODES: Mapping[int, Mapping[Code, str]] = {2: REQUEST, 3: MEMORY, 4: NUMBERS, 5: DAMAGED, **OTHERS}
"""Codes and their meanings, by exit code."""
