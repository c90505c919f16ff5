package lira.core

import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.util.Locale
import java.util.zip.CRC32
import javax.imageio.ImageIO
import kotlin.random.Random
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test
import org.w3c.dom.Element

class PngTest {
    private val picture = Picture(37, 21, Random(1).nextBytes(37 * 21 * 3))

    private fun written(texts: Map<String, String>): ByteArray =
        ByteArrayOutputStream().also { Png.write(it, picture, texts) }.toByteArray()

    @Test
    fun `another reader finds the same pixels`() {
        val image = ImageIO.read(ByteArrayInputStream(written(emptyMap())))
        assertArrayEquals(picture.argb(), image.getRGB(0, 0, 37, 21, null, 0, 37))
    }

    /** Which the other reader does not look at. */
    @Test
    fun `every chunk ends with its checksum`() {
        val file = ByteBuffer.wrap(written(mapOf("seed" to "7"))).apply { position(8) }
        var chunks = 0
        while (file.hasRemaining()) {
            val body = ByteArray(file.getInt() + 4).also(file::get)
            assertEquals(CRC32().apply { update(body) }.value.toInt(), file.getInt())
            chunks++
        }
        assertEquals(4, chunks)
    }

    @Test
    fun `another reader finds the texts`() {
        val texts = mapOf("prompt" to "ein Apfel, 一个苹果 \ud83c\udf4e", "seed" to "7")
        val reader = ImageIO.getImageReadersByFormatName("png").next()
        reader.input = ImageIO.createImageInputStream(ByteArrayInputStream(written(texts)))
        val root = reader.getImageMetadata(0).getAsTree("javax_imageio_png_1.0") as Element
        val entries = root.getElementsByTagName("iTXtEntry")
        val found = (0 until entries.length).map { entries.item(it) as Element }
            .associate { it.getAttribute("keyword") to it.getAttribute("text") }
        assertEquals(texts, found)
        assertEquals(texts, Png.texts(ByteArrayInputStream(written(texts))))
        assertThrows(IOException::class.java) { Png.texts(ByteArrayInputStream(written(texts).copyOfRange(1, 200))) }
        assertThrows(IOException::class.java) { Png.texts(ByteArrayInputStream(written(texts).copyOf(40))) }
    }

    @Test
    fun `guidance is written as Python writes it whatever the language of the phone`() {
        val written = mapOf(
            0.0 to "0", 7.0 to "7", 100.0 to "100", 7.5 to "7.5", 99.99995 to "99.9999", 0.0001 to "0.0001",
            12.03125 to "12.0312", 12.03135 to "12.0313", 12.03126 to "12.0313", // two halves to even, the second not quite one
            1e-5 to "1e-05", 0.00001234565 to "1.23456e-05", 999_999.5 to "1e+06", 1e100 to "1e+100",
        )
        val usual = Locale.getDefault()
        try {
            Locale.setDefault(Locale.forLanguageTag("ar-u-nu-arab"))
            assertEquals(written, written.mapValues { (value, _) -> formatG(value) })
        } finally {
            Locale.setDefault(usual)
        }
    }
}
