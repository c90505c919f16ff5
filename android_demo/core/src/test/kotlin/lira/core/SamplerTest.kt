package lira.core

import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class SamplerTest {
    private val golden = Golden.read("sampler")

    @Test
    fun `noise levels are those of every language`() {
        for (case in golden.array("schedules").map { it.jsonObject }) {
            val expected = case.array("sigmas").map { it.jsonPrimitive.content.toDouble() }.toDoubleArray()
            assertArrayEquals(case.toString(), expected, levels(case), 1e-15)
        }
    }

    @Test
    fun `steps are those of every language`() {
        for (case in golden.array("runs").map { it.jsonObject }) {
            val steps = case.array("steps_out").map { it.jsonObject }
            val method = Method.values().first { it.id == case.text("method") }
            val velocity =
                Sampler.guided(toy(case.floats("text_f32")), toy(case.floats("empty_f32")), case.real("guidance"))
            val found = ArrayList<Step>()
            val last = Sampler.sample(velocity, start(case), levels(case), method) { found += it }
            assertEquals(steps.size, found.size)
            for ((step, expected) in found.zip(steps)) {
                assertEquals(expected.real("sigma"), step.sigma, 1e-15)
                assertEquals(expected.real("sigma_next"), step.sigmaNext, 1e-15)
                assertTrue(relativeError(step.x, expected.floats("x_f32")) <= 1e-6)
                assertTrue(relativeError(step.x0, expected.floats("x0_f32")) <= 1e-6)
            }
            assertArrayEquals(found.last().x, last, 0f)
        }
    }

    @Test
    fun `guidance of 1 asks once`() {
        val never = Velocity { _, _ -> throw AssertionError("asked without the text") }
        val velocity = Sampler.guided({ x, _ -> x }, never, 1.0)
        assertArrayEquals(floatArrayOf(2f), velocity.at(floatArrayOf(2f), 0.5), 0f)
    }

    @Test
    fun `a difference that overflows does no harm where dpm adds none of it`() {
        val large = 1.8e38f // and the largest float32 is 3.4e38
        val velocity = Velocity { x, sigma ->
            FloatArray(x.size) { (x[it] - if (sigma == 1.0) -large else large) / sigma.toFloat() }
        }
        val last = Sampler.sample(velocity, FloatArray(1), doubleArrayOf(1.0, 0.9, 0.0), Method.DPM) {}
        assertEquals(1f, last[0] / large, 1e-5f)
    }

    @Test
    fun `what cannot be sampled is bad input`() {
        for (steps in listOf(0, -1, 1001)) assertThrows(BadInput::class.java) { Sampler.shiftedSigmas(steps, 1.0) }
        for (shift in listOf(0.0, -1.0, Double.NaN, Double.POSITIVE_INFINITY)) {
            assertThrows(BadInput::class.java) { Sampler.shiftedSigmas(4, shift) }
        }
        for (guidance in listOf(-0.1, 100.1, Double.NaN)) {
            assertThrows(BadInput::class.java) { Sampler.checkGuidance(guidance) }
        }
        for (sigmas in listOf(doubleArrayOf(1.0), doubleArrayOf(0.5, 0.5), doubleArrayOf(1.1, 0.0), doubleArrayOf(1.0, -0.1))) {
            assertThrows(BadInput::class.java) { Sampler.sample({ x, _ -> x }, FloatArray(1), sigmas, Method.DPM) {} }
        }
    }

    private fun levels(case: JsonObject): DoubleArray {
        val sigmas = Sampler.shiftedSigmas(case.text("steps").toInt(), case.real("shift"))
        return case.textOrNull("strength")?.let { Sampler.lastLevels(sigmas, it.toDouble()) } ?: sigmas
    }

    private fun start(case: JsonObject): FloatArray {
        val noise = Noise.normal(case.text("seed").toULong().toLong(), case.floats("text_f32").size)
        if (case.textOrNull("clean_f32") == null) return noise
        return Sampler.noised(case.floats("clean_f32"), noise, levels(case).first())
    }

    /** The vectors' velocity: a Gaussian's exact denoiser, pulled by the text. */
    private fun toy(text: FloatArray) = Velocity { x, sigma ->
        val a = (1.0 - sigma).toFloat()
        val gain = ((1.0 - sigma) * 0.09 / ((1.0 - sigma) * (1.0 - sigma) * 0.09 + sigma * sigma)).toFloat()
        FloatArray(x.size) { i ->
            val clean = 0.7f + gain * (x[i] - a * 0.7f)
            (x[i] - clean) / sigma.toFloat() - 0.5f * text[i]
        }
    }
}
