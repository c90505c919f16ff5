package lira.core

/** A picture of 8 bits a channel: [rgb] holds height x width x 3 bytes, row by row. */
class Picture(val width: Int, val height: Int, val rgb: ByteArray) {
    /** Opaque ARGB, row by row, as Android's bitmaps take it. */
    fun argb(): IntArray = IntArray(width * height) { i ->
        val at = 3 * i
        (0xff shl 24) or (level(at) shl 16) or (level(at + 1) shl 8) or level(at + 2)
    }

    private fun level(at: Int): Int = rgb[at].toInt() and 0xff
}

/** Turns an image (1, 3, H, W) of about [0, 1] into pixels: clip(x) 255 + 0.5 in float32, cut to 8 bits. */
fun toPicture(image: FloatArray, width: Int, height: Int): Picture {
    val area = width * height
    val rgb = ByteArray(3 * area)
    for (channel in 0 until 3) {
        for (i in 0 until area) {
            val level = image[channel * area + i].coerceIn(0f, 1f) * 255f + 0.5f
            rgb[3 * i + channel] = level.toInt().toByte()
        }
    }
    return Picture(width, height, rgb)
}
