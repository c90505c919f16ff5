package lira.core

import java.math.BigInteger

/** The components of a bundle and the tensors that each reads and returns (runtime/lira_runtime/interface.py). */
object Interface {
    const val TEXT_ENCODER = "text_encoder"
    const val DENOISER = "denoiser"
    const val DECODER = "decoder"
    const val IMAGE_ENCODER = "image_encoder"
    const val PROMPT_TOKENS = 77

    /** Those that every whole bundle holds, in the order in which they run. */
    val COMPONENTS = listOf(TEXT_ENCODER, DENOISER, DECODER)
    private val MOST_GOLDEN_NUMBERS = BigInteger.valueOf(16_384)

    /** Inputs and outputs of [component]. latent: (1, C, H, W); scale: image px a latent px; textWidth: of a text state. */
    fun tensors(
        component: String,
        latent: List<Long>,
        scale: Long,
        textWidth: Long,
    ): Pair<List<TensorSpec>, List<TensorSpec>> {
        val x = TensorSpec("latent", latent, "float32")
        val image = TensorSpec("image", listOf(1, 3, latent[2] * scale, latent[3] * scale), "float32")
        val states = TensorSpec("text_states", listOf(1, PROMPT_TOKENS.toLong(), textWidth), "float32")
        return when (component) {
            TEXT_ENCODER -> listOf(TensorSpec("input_ids", listOf(1, 77), "int32")) to listOf(states)
            DENOISER -> listOf(x, TensorSpec("timestep", listOf(1), "float32"), states) to
                listOf(TensorSpec("velocity", latent, "float32"), TensorSpec("reasoning_steps", listOf(1), "int32"))
            DECODER -> listOf(x) to listOf(image)
            else -> listOf(image) to listOf(x)
        }
    }

    /**
     * k: of an output every k-th number is stored: the least that leaves at most 16,384 and has no divisor in common with
     * the count. Shapes of a forged manifest may be of any size, so the count is.
     */
    fun goldenStride(shape: List<Long>): BigInteger {
        val count = count(shape)
        var k = ceilDiv(count, MOST_GOLDEN_NUMBERS).max(BigInteger.ONE)
        while (k.gcd(count) > BigInteger.ONE) k += BigInteger.ONE
        return k
    }

    /** How many numbers of an output are stored. */
    fun goldenCount(output: TensorSpec): BigInteger = ceilDiv(count(output.shape), goldenStride(output.shape))

    /** How many numbers a shape holds. */
    fun count(shape: List<Long>): BigInteger = shape.fold(BigInteger.ONE) { n, side -> n * BigInteger.valueOf(side) }

    private fun ceilDiv(a: BigInteger, b: BigInteger): BigInteger = (a + b - BigInteger.ONE) / b
}
