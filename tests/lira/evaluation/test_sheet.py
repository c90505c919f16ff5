"""A contact sheet puts every picture at its place and writes under it."""

import numpy as np

from lira.data.sheet import contact_sheet


def test_pictures_stand_row_by_row_with_ink_below() -> None:
    greys = [10, 120, 200]
    pictures = [np.full((64, 64, 3), grey, np.uint8) for grey in greys]
    captions = ["a cat on a pink background", "an owl", "a bee left of a birthday cake on a purple background"]
    sheet = np.asarray(contact_sheet(pictures, captions, columns=2, side=32, inks=["black", "red", "black"]))
    height = sheet.shape[0] // 2
    assert sheet.shape[1] == 64
    for index, grey in enumerate(greys):
        x, y = index % 2 * 32, index // 2 * height
        assert (sheet[y : y + 32, x : x + 32] == grey).all()
        below = sheet[y + 32 : y + height, x : x + 32]
        assert (below.min(axis=(0, 1))[1:] < 100).all()  # green and blue are dark in black ink and in red
    red = sheet[32:height, 32:64]
    assert red[..., 0].min() > 200
    assert (sheet[height:, 32:] == 255).all()  # the place of a fourth picture stays white
