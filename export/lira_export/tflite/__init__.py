"""TFLite graphs for LiteRT and XNNPACK."""
