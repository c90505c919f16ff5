package lira.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

class JsonReaderTest {
    private fun read(text: ByteArray) = JsonReader(text.inputStream()).apply { skip() }.end()

    @Test
    fun `what is no JSON is refused`() {
        val bad = listOf(
            "", "{", "[1,]", "{\"a\":1,}", "{a:1}", "01", "1.", ".5", "+1", "-", "NaN", "tru", "nul", "\"\\x\"", "\"\n\"",
            "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\\u12g4\"", "1 2", "\ufeff1", "[".repeat(100_000), "'a'", "1e",
        )
        for (text in bad) assertThrows(text.take(20), JsonFault::class.java) { read(text.toByteArray()) }
    }

    @Test
    fun `strings that are no UTF-8 are refused where they are read`() {
        for (bytes in listOf(byteArrayOf(-1), byteArrayOf(-64, -128), byteArrayOf(-19, -96, -128), byteArrayOf(-30, -126))) {
            val text = byteArrayOf('"'.code.toByte()) + bytes + '"'.code.toByte()
            assertThrows(JsonFault::class.java) { JsonReader(text.inputStream()).string() }
        }
    }

    @Test
    fun `values are what they are`() {
        val reader = JsonReader(
            """ {"a" : [1, -0, 99999999999999999999, -99999999999999999999], "b\u00e9\ud83d\ude00\/": [1.5e2, -0.25, 7], "c": [true, false, null, "x"]} """
                .byteInputStream(),
        )
        val found = ArrayList<Any?>()
        reader.fields { key ->
            found += key
            reader.elements {
                found += when {
                    key == "a" -> reader.integer()
                    key == "c" -> if (reader.isNull()) null else if (reader.isString()) reader.string() else reader.boolean()
                    else -> reader.real()
                }
            }
        }
        reader.end()
        val expected = listOf(
            "a", 1L, 0L, Long.MAX_VALUE, Long.MIN_VALUE, "b\u00e9\ud83d\ude00/", 150.0, -0.25, 7.0, "c", true, false, null, "x",
        )
        assertEquals(expected, found)
    }
}
