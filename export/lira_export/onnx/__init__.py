"""Everything that is particular to ONNX."""
