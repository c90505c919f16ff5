package lira.core

import kotlin.math.sqrt

/**
 * A latent as a small picture without the decoder: each colour is a weighted sum of the latent's channels.
 *
 * The weights are fitted to what the bundle stores of its decoder's golden run, numbers that the decoder made of known noise,
 * so no second component is ever loaded for a preview.
 */
class Preview private constructor(private val weights: List<DoubleArray>) {
    /** x0 (1, C, H, W) as a picture of H x W px. */
    fun picture(x0: FloatArray, width: Int, height: Int): Picture {
        val area = width * height
        val image = FloatArray(3 * area) { i ->
            val w = weights[i / area]
            (w.last() + (0 until w.size - 1).sumOf { w[it] * x0[it * area + i % area] }).toFloat()
        }
        return toPicture(image, width, height)
    }

    companion object {
        private const val SEED = 8L // of golden runs, runtime/lira_runtime/golden.py

        /**
         * Fits the weights; null where the bundle stores no golden run of its decoder, or says that it makes a picture of
         * more numbers than an array holds. Makes noise of the latent's shape: ask only once a graph was loaded that has it.
         */
        fun of(bundle: Bundle): Preview? {
            val graph = bundle.graph(Interface.DECODER)
            val golden = bundle.readTensor(graph.golden ?: return null)
            if (Interface.count(graph.outputs.first().shape).bitLength() > 31) return null
            val (channels, height, width) = graph.inputs.first().shape.drop(1).map { it.toInt() }
            val noise = Noise.normal(SEED, channels * height * width)
            val (imageHeight, imageWidth) = graph.outputs.first().shape.drop(2).map { it.toInt() }
            val stride = Interface.goldenStride(graph.outputs.first().shape).toInt()
            val fits = List(3) { LeastSquares(channels + 1) }
            val row = DoubleArray(channels + 1) { 1.0 }
            for ((i, value) in golden.withIndex()) {
                val at = i * stride
                val x = at % imageWidth * width / imageWidth
                val y = at / imageWidth % imageHeight * height / imageHeight
                for (c in 0 until channels) row[c] = noise[(c * height + y) * width + x].toDouble()
                fits[at / (imageWidth * imageHeight)].add(row, value.toDouble())
            }
            return Preview(fits.map { it.weights() })
        }
    }
}

/** Least squares by the normal equations: y is about the sum of weights times x, the last x being 1. */
private class LeastSquares(private val size: Int) {
    private val products = Array(size) { DoubleArray(size + 1) }
    private var squares = 0.0

    fun add(x: DoubleArray, y: Double) {
        for (i in 0 until size) {
            for (j in 0 until size) products[i][j] += x[i] * x[j]
            products[i][size] += x[i] * y
        }
        squares += y * y
    }

    /** Noise has sharper edges than a picture, which weakens the fit: colours get their spread back. */
    fun weights(): DoubleArray {
        val weights = solved()
        val count = products[size - 1][size - 1]
        val mean = products[size - 1][size] / count
        val explained = (0 until size).sumOf { weights[it] * products[it][size] } / count - mean * mean
        val variance = squares / count - mean * mean
        val gain = if (explained > 0) sqrt(variance / explained) else 1.0
        for (i in 0 until size - 1) weights[i] *= gain
        return weights
    }

    private fun solved(): DoubleArray {
        val rows = Array(size) { products[it].copyOf() }
        for (pivot in 0 until size) {
            val best = (pivot until size).maxByOrNull { Math.abs(rows[it][pivot]) } ?: pivot
            rows[pivot] = rows[best].also { rows[best] = rows[pivot] }
            if (rows[pivot][pivot] == 0.0) continue
            for (row in rows) {
                if (row === rows[pivot]) continue
                val factor = row[pivot] / rows[pivot][pivot]
                for (column in pivot..size) row[column] -= factor * rows[pivot][column]
            }
        }
        return DoubleArray(size) { if (rows[it][it] == 0.0) 0.0 else rows[it][size] / rows[it][it] }
    }
}
