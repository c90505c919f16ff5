package lira.core

import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.ln
import kotlin.math.sin
import kotlin.math.sqrt

/**
 * Initial noise, the same numbers as in every other language (runtime/lira_runtime/noise.py).
 *
 * Philox4x64-10 with the key (seed, 0) and a counter raised before each block; u = ((word >> 11) + 1) 2^-53; Box-Muller on
 * pairs (u1, u2): r cos(2 pi u2), then r sin(2 pi u2), with r = sqrt(-2 ln u1); rounded to float32.
 */
object Noise {
    private const val MULTIPLIER_0 = -0x2d18b8f11eb3936d // 0xD2E7470EE14C6C93
    private const val MULTIPLIER_1 = -0x35a57d9c6aedeea9 // 0xCA5A826395121157
    private const val WEYL_0 = -0x61c8864680b583eb // 0x9E3779B97F4A7C15
    private const val WEYL_1 = -0x4498517a7b3558c5 // 0xBB67AE8584CAA73B
    private const val ROUNDS = 10
    private const val UNIT = 1.0 / (1L shl 53)

    /** Standard normal noise: [count] numbers. [seed] is unsigned: its 64 bits are the key. */
    fun normal(seed: Long, count: Int): FloatArray {
        val words = words(seed, count + count % 2)
        val values = FloatArray(count)
        for (i in 0 until count step 2) {
            val radius = sqrt(-2.0 * ln(uniform(words[i])))
            val angle = 2.0 * PI * uniform(words[i + 1])
            values[i] = (radius * cos(angle)).toFloat()
            if (i + 1 < count) values[i + 1] = (radius * sin(angle)).toFloat()
        }
        return values
    }

    /** The generator's first [count] words of 64 bits. */
    fun words(seed: Long, count: Int): LongArray {
        val words = LongArray(count)
        val block = LongArray(4)
        for (i in 0 until count) {
            if (i % 4 == 0) fill(block, counter = i / 4 + 1L, key = seed)
            words[i] = block[i % 4]
        }
        return words
    }

    private fun uniform(word: Long): Double = ((word ushr 11) + 1) * UNIT

    private fun fill(block: LongArray, counter: Long, key: Long) {
        var (c0, c1, c2, c3) = longArrayOf(counter, 0, 0, 0)
        var k0 = key
        var k1 = 0L
        repeat(ROUNDS) {
            val high0 = multiplyHighUnsigned(MULTIPLIER_0, c0)
            val low0 = MULTIPLIER_0 * c0
            val high1 = multiplyHighUnsigned(MULTIPLIER_1, c2)
            val low1 = MULTIPLIER_1 * c2
            c0 = high1 xor c1 xor k0
            c2 = high0 xor c3 xor k1
            c1 = low1
            c3 = low0
            k0 += WEYL_0
            k1 += WEYL_1
        }
        block[0] = c0
        block[1] = c1
        block[2] = c2
        block[3] = c3
    }

    /** High 64 bits of an unsigned product, by halves: `Math.multiplyHigh` needs Android 12. */
    private fun multiplyHighUnsigned(a: Long, b: Long): Long {
        val mask = 0xffffffffL
        val aLow = a and mask
        val aHigh = a ushr 32
        val bLow = b and mask
        val bHigh = b ushr 32
        val middle = aHigh * bLow + (aLow * bLow ushr 32)
        val other = aLow * bHigh + (middle and mask)
        return aHigh * bHigh + (middle ushr 32) + (other ushr 32)
    }
}
