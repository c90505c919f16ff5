package lira.core

import kotlin.math.floor
import kotlin.math.ln
import kotlin.math.ln1p
import kotlin.math.max

/** A sampler by the manifest's name for it. */
enum class Method(val id: String) {
    DPM("dpm"),
    EULER("euler"),
}

/** State after one step: [x] at [sigmaNext], and the clean latent [x0] predicted at [sigma]; [index] counts from 0. */
class Step(val index: Int, val sigma: Double, val sigmaNext: Double, val x: FloatArray, val x0: FloatArray)

/** A denoiser: (x, sigma) -> v, of the same size as x. */
fun interface Velocity {
    fun at(x: FloatArray, sigma: Double): FloatArray
}

/**
 * Flow-matching samplers, Euler and Flow-DPM-Solver++ (2M), as runtime/lira_runtime/sampler.py has them.
 *
 * x_sigma = (1 - sigma) x0 + sigma eps; v = eps - x0; x0 = x - sigma v. Scalars are float64 and are rounded to float32 before
 * they meet an array, and so is each product and sum: as NumPy does it.
 */
object Sampler {
    const val MAX_STEPS = 1000
    const val MAX_GUIDANCE = 100.0

    /** steps + 1 noise levels from exactly 1 to exactly 0, even in sigma before the time shift. Throws [BadInput]. */
    fun shiftedSigmas(steps: Int, shift: Double): DoubleArray {
        if (steps !in 1..MAX_STEPS) throw BadInput("steps must lie between 1 and $MAX_STEPS, but is $steps.")
        if (!(shift > 0 && shift.isFinite())) throw BadInput("the time shift must be a positive number, but is $shift.")
        return DoubleArray(steps + 1) { i ->
            val u = (steps - i) / steps.toDouble()
            shift * u / (shift * u + (1.0 - u))
        }
    }

    /** The last [strength] of all steps, to the nearest and at least one. Throws [BadInput]. */
    fun lastLevels(sigmas: DoubleArray, strength: Double): DoubleArray {
        if (!(strength > 0 && strength <= 1)) {
            throw BadInput("the strength must lie above 0 and be at most 1, but is $strength.")
        }
        val steps = sigmas.size - 1
        return sigmas.copyOfRange(steps - max(1, floor(strength * steps + 0.5).toInt()), sigmas.size)
    }

    /** x at [sigma] of a clean latent. */
    fun noised(clean: FloatArray, noise: FloatArray, sigma: Double): FloatArray {
        val keep = (1.0 - sigma).toFloat()
        val level = sigma.toFloat()
        return FloatArray(clean.size) { clean[it] * keep + noise[it] * level }
    }

    /** Throws [BadInput] unless 0 <= guidance <= 100. */
    fun checkGuidance(guidance: Double) {
        if (!(guidance >= 0 && guidance <= MAX_GUIDANCE)) {
            throw BadInput("guidance must lie between 0 and 100, but is $guidance.")
        }
    }

    /** Classifier-free guidance as two calls, or one where it is 1: v = v_empty + guidance (v_text - v_empty). */
    fun guided(withText: Velocity, withoutText: Velocity, guidance: Double): Velocity {
        checkGuidance(guidance)
        if (guidance == 1.0) return withText
        val scale = guidance.toFloat()
        return Velocity { x, sigma ->
            val text = withText.at(x, sigma)
            val empty = withoutText.at(x, sigma)
            FloatArray(x.size) { empty[it] + scale * (text[it] - empty[it]) }
        }
    }

    /**
     * Runs all steps and returns the clean latent.
     *
     * velocity: called once a step. onStep: after each; what it throws ends the sampling.
     * Throws [BadInput] for levels that do not fall from at most 1 to at least 0.
     */
    fun sample(
        velocity: Velocity,
        start: FloatArray,
        sigmas: DoubleArray,
        method: Method,
        onStep: (Step) -> Unit,
    ): FloatArray {
        checkFalling(sigmas)
        var x = start
        var previous: FloatArray? = null
        for (i in 0 until sigmas.size - 1) {
            val v = velocity.at(x, sigmas[i])
            val sigma = sigmas[i].toFloat()
            val current = x
            val x0 = FloatArray(x.size) { current[it] - sigma * v[it] }
            val before = if (method == Method.DPM) previous else null
            val target = if (before == null) x0 else extrapolated(x0, before, sigmas[i - 1], sigmas[i], sigmas[i + 1])
            val ratio = sigmas[i + 1] / sigmas[i]
            val keep = ratio.toFloat()
            val gain = (1.0 - ratio).toFloat()
            x = FloatArray(x.size) { keep * current[it] + gain * target[it] }
            previous = x0
            onStep(Step(i, sigmas[i], sigmas[i + 1], x, x0))
        }
        return x
    }

    private fun checkFalling(sigmas: DoubleArray) {
        val falling = (1 until sigmas.size).all { sigmas[it - 1] > sigmas[it] }
        if (sigmas.size < 2 || !falling || sigmas.first() > 1 || sigmas.last() < 0) {
            throw BadInput("the noise levels must fall from at most 1 to at least 0.")
        }
    }

    private fun extrapolated(x0: FloatArray, before: FloatArray, s0: Double, s1: Double, s2: Double): FloatArray {
        val weight = extrapolation(s0, s1, s2)
        if (weight == 0.0) return x0 // 0 times a difference that overflowed would be NaN
        val w = weight.toFloat()
        return FloatArray(x0.size) { x0[it] + w * (x0[it] - before[it]) }
    }

    /** h / (2 h_before): how far 2M extrapolates x0; 0 at both ends, where a lambda is infinite. */
    private fun extrapolation(before: Double, here: Double, after: Double): Double {
        if (before >= 1.0 || after <= 0.0) return 0.0
        return 0.5 * (lambda(after) - lambda(here)) / (lambda(here) - lambda(before))
    }

    private fun lambda(sigma: Double): Double = ln1p(-sigma) - ln(sigma)
}
