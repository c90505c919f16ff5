package lira.core

import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class NoiseTest {
    private val golden = Golden.read("noise")

    @Test
    fun `words are exactly those of every language`() {
        for (case in golden.array("words").map { it.jsonObject }) {
            val expected = case.array("words").map { it.jsonPrimitive.content.toULong().toLong() }.toLongArray()
            assertArrayEquals(case.text("seed"), expected, Noise.words(case.text("seed").toULong().toLong(), expected.size))
        }
    }

    @Test
    fun `numbers are at most one unit in the last place away`() {
        var others = 0
        for (case in golden.array("noise").map { it.jsonObject }) {
            val expected = case.floats("values_f32")
            val found = Noise.normal(case.text("seed").toULong().toLong(), expected.size)
            for (i in expected.indices) {
                if (found[i] != expected[i]) others++
                assertTrue(Math.abs(found[i] - expected[i]) <= Math.ulp(expected[i]))
            }
        }
        println("noise: $others numbers are one unit in the last place away")
    }

    @Test
    fun `an odd count leaves out the last sine`() {
        assertArrayEquals(Noise.normal(7, 6).copyOf(5), Noise.normal(7, 5), 0f)
        assertEquals(0, Noise.normal(7, 0).size)
    }
}
