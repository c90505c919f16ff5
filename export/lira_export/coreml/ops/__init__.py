"""The MIL ops that PyTorch runs here; every other op is run by its own `value_inference` or not at all."""

from collections.abc import Mapping

from lira_export.coreml.ops.layout import LAYOUT
from lira_export.coreml.ops.pointwise import POINTWISE
from lira_export.coreml.ops.products import PRODUCTS
from lira_export.coreml.ops.rule import Rule

RULES: Mapping[str, Rule] = {**POINTWISE, **LAYOUT, **PRODUCTS}
