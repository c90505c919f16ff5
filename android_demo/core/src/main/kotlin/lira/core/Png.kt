package lira.core

import java.io.ByteArrayOutputStream
import java.io.DataInputStream
import java.io.DataOutputStream
import java.io.IOException
import java.io.InputStream
import java.io.OutputStream
import java.math.BigDecimal
import java.math.MathContext
import java.math.RoundingMode
import java.util.Locale
import java.util.zip.CRC32
import java.util.zip.Deflater
import java.util.zip.DeflaterOutputStream

/** Writes PNG files of 8 bits a channel with text entries, as lira-generate does: a picture says how it was drawn. */
object Png {
    private val SIGNATURE = byteArrayOf(0x89.toByte(), 'P'.code.toByte(), 'N'.code.toByte(), 'G'.code.toByte(), 13, 10, 26, 10)
    private const val UP = 2
    private const val NO_TRANSLATION = 5

    /** Writes [picture] and [texts] (key to text, iTXt in UTF-8); does not close [stream]. Throws IOException as it does. */
    fun write(stream: OutputStream, picture: Picture, texts: Map<String, String>) {
        val out = DataOutputStream(stream)
        out.write(SIGNATURE)
        out.chunk("IHDR") {
            writeInt(picture.width)
            writeInt(picture.height)
            write(byteArrayOf(8, 2, 0, 0, 0)) // 8 bits, RGB, deflate, filters by row, not interlaced
        }
        for ((key, text) in texts) {
            out.chunk("iTXt") {
                write(key.toByteArray(Charsets.ISO_8859_1))
                write(ByteArray(NO_TRANSLATION)) // end of the key, not compressed, no language, no translated key
                write(text.toByteArray())
            }
        }
        out.chunk("IDAT") { pixels(this, picture) }
        out.chunk("IEND") {}
        out.flush()
    }

    /** Reads back the texts that [write] wrote. Throws IOException where this is no such file. */
    fun texts(stream: InputStream): Map<String, String> {
        val input = DataInputStream(stream)
        if (!ByteArray(SIGNATURE.size).also(input::readFully).contentEquals(SIGNATURE)) throw IOException("this is no PNG")
        val texts = LinkedHashMap<String, String>()
        while (true) {
            val size = input.readInt()
            val kind = ByteArray(4).also(input::readFully).toString(Charsets.ISO_8859_1)
            if (kind == "IDAT") return texts // the texts stand before the pixels
            val body = ByteArray(size).also(input::readFully)
            input.readInt() // the checksum
            if (kind != "iTXt") continue
            val end = body.indexOf(0)
            texts[body.decodeToString(0, end)] = body.decodeToString(end + NO_TRANSLATION)
        }
    }

    private fun pixels(out: OutputStream, picture: Picture) {
        val deflater = Deflater()
        val packed = DeflaterOutputStream(out, deflater)
        val size = 3 * picture.width
        val row = ByteArray(size)
        for (y in 0 until picture.height) {
            val at = y * size
            for (i in 0 until size) {
                val above = if (y == 0) 0 else picture.rgb[at - size + i]
                row[i] = (picture.rgb[at + i] - above).toByte()
            }
            packed.write(UP)
            packed.write(row)
        }
        packed.finish()
        deflater.end()
    }

    private fun DataOutputStream.chunk(kind: String, body: DataOutputStream.() -> Unit) {
        val bytes = ByteArrayOutputStream()
        DataOutputStream(bytes).apply {
            writeBytes(kind)
            body()
        }
        writeInt(bytes.size() - kind.length)
        bytes.writeTo(this)
        writeInt(CRC32().apply { update(bytes.toByteArray()) }.value.toInt())
    }
}

/** A number as Python's format "g" writes it, with which lira-generate writes guidance. */
internal fun formatG(value: Double): String {
    if (value == 0.0) return "0"
    val rounded = BigDecimal(value).round(MathContext(6, RoundingMode.HALF_EVEN))
    val exponent = rounded.precision() - rounded.scale() - 1
    if (exponent in -4..5) return rounded.stripTrailingZeros().toPlainString()
    return rounded.scaleByPowerOfTen(-exponent).stripTrailingZeros().toPlainString() + "e%+03d".format(Locale.ROOT, exponent)
}
