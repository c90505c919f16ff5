package lira.core

import java.util.Base64
import kotlinx.serialization.json.jsonObject
import org.junit.Assert.assertArrayEquals
import org.junit.Test

class PixelsTest {
    @Test
    fun `pixels are exactly those of every language`() {
        for (case in Golden.read("pixels").array("images").map { it.jsonObject }) {
            val (_, _, height, width) = case.getValue("shape").ints()
            val picture = toPicture(case.floats("image_f32"), width, height)
            assertArrayEquals(Base64.getDecoder().decode(case.text("pixels")), picture.rgb)
        }
    }

    @Test
    fun `colours become opaque ARGB`() {
        val picture = Picture(2, 1, byteArrayOf(1, 2, 3, -1, 0, -128))
        assertArrayEquals(intArrayOf(0xff010203.toInt(), 0xffff0080.toInt()), picture.argb())
    }
}
