package lira.core

import java.io.File
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import javax.imageio.ImageIO
import kotlin.math.log10
import kotlin.math.sqrt
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Before
import org.junit.Test

/** Whole drawings by the demo bundle with the real engine. */
class NanoTest {
    private lateinit var bundle: Bundle

    /** What the picture beside this test was drawn from, by lira-generate with onnxruntime 1.22.0 and two threads. */
    private val ofPython = Request("a panda right of a pizza on a pink background", 7, 8, 4.0)

    @Before
    fun open() {
        bundle = Bundle.open(Golden.requireBundle(), strict = true)
        val same = bundle.manifest.weightsDigest == WEIGHTS
        if (!same) println("SKIPPED: the bundle has other weights than the pictures that it is compared with")
        assumeTrue("the bundle has other weights than the pictures that it is compared with", same)
    }

    @Test
    fun `the picture is that of Python with the same engine`() {
        val picture = psnr(levels(draw(ofPython).picture), levels(pictureOfPython()), peak = 1.0)
        println("nano beside Python's onnxruntime 1.22: %.1f dB".format(picture))
        assertTrue(picture >= 45)
    }

    /** What is asked of every language (docs/apps.md): the golden drawing is of a newer engine, which rounds otherwise. */
    @Test
    fun `the picture and every latent on the way are near those of a newer engine`() {
        val golden = Golden.read("nano")
        assertEquals(WEIGHTS, golden.text("weights_digest"))
        val request = Request(
            golden.text("prompt"), golden.text("seed").toULong().toLong(), golden.text("steps").toInt(),
            golden.real("guidance"), Method.values().first { it.id == golden.text("method") },
        )
        val qualities = ArrayList<Double>()
        val drawing = draw(request) { event ->
            if (event is Event.Stepped) qualities += psnr(event.x, goldenLatent(golden.text("latents"), event.index, event.x.size))
        }
        val expected = picture(File(Golden.folder, golden.text("picture")).inputStream())
        val picture = psnr(levels(drawing.picture), levels(expected), peak = 1.0)
        println("nano beside the golden drawing: picture %.1f dB, latents %s".format(picture, qualities.map { "%.1f".format(it) }))
        assertEquals(8, qualities.size)
        assertTrue(qualities[0] >= 60 && qualities.all { it >= 42 } && picture >= 45)
    }

    @Test
    fun `low memory draws the same picture`() {
        val picture = psnr(levels(draw(ofPython, lowMemory = true).picture), levels(pictureOfPython()), peak = 1.0)
        println("nano with low memory beside the usual: %.1f dB".format(picture))
        assertTrue(picture >= 38)
    }

    @Test
    fun `a preview looks like the picture`() {
        val preview = Preview.of(bundle)!!
        var last = FloatArray(0)
        val drawing = draw(ofPython) { if (it is Event.Stepped) last = it.x0 }
        val small = preview.picture(last, 32, 32)
        val whole = levels(drawing.picture)
        val shrunk = FloatArray(3 * 32 * 32) { i ->
            val (y, x, c) = listOf(i / 96, i / 3 % 32, i % 3)
            (0 until 64).map { whole[((8 * y + it / 8) * 256 + 8 * x + it % 8) * 3 + c] }.average().toFloat()
        }
        val quality = psnr(levels(small), shrunk, peak = 1.0)
        println("preview: %.1f dB".format(quality))
        assertTrue(quality >= 15) // measured 18 or more; a picture of another prompt has 8 to 12
    }

    @Test
    fun `an engine that runs is stopped at once`() {
        lateinit var pipeline: Pipeline
        pipeline = Pipeline(bundle, OnnxBackend()) { event ->
            if (event is Event.StageStarted && event.stage == Interface.DENOISER) {
                Thread { Thread.sleep(300); pipeline.cancel() }.start()
            }
        }
        assertThrows(Cancelled::class.java) { pipeline.draw(ofPython.copy(steps = 1000)) }
        draw(ofPython) // and nothing is left in the way of the next
    }

    @Test
    fun `a run that goes on is ended by another thread`() {
        val graph = bundle.graph(Interface.DECODER)
        val backend = OnnxBackend()
        backend.load(graph, bundle.folder)
        val latent = mapOf("latent" to Tensor.Floats(FloatArray(4 * 32 * 32)))
        val impatient = Thread { while (!Thread.interrupted()) backend.stop() }.apply { start() }
        assertEquals("graph_failed", codeOf { repeat(10) { backend.run(latent) } })
        impatient.interrupt()
        impatient.join()
        backend.run(latent) // the next is not ended
        backend.unload()
    }

    @Test
    fun `a file that is no graph is refused with a stable code`() {
        val folder = createTempDir()
        try {
            bundle.folder.copyRecursively(folder, overwrite = true)
            File(folder, "denoiser.onnx").writeText("no graph")
            val error = assertThrows(DamagedBundle::class.java) { OnnxBackend().load(bundle.graph(Interface.DENOISER), folder) }
            assertEquals("graph_refused", error.code)
        } finally {
            folder.deleteRecursively()
        }
    }

    @Test
    fun `a graph of other tensors than its manifest's is refused`() {
        val graph = bundle.graph(Interface.DECODER)
        val other = listOf(TensorSpec("image", listOf(1, 3, 128, 128), "float32"))
        val backend = OnnxBackend()
        val wrong = Graph(graph.path, graph.resolution, graph.inputs, other, graph.memory, graph.golden)
        assertEquals("graph_refused", codeOf { backend.load(wrong, bundle.folder) })
        backend.unload()
        backend.load(graph, bundle.folder)
        backend.unload()
    }

    private fun draw(request: Request, lowMemory: Boolean = false, onEvent: (Event) -> Unit = {}): Drawing {
        val settings = SessionSettings(threads = 2, lowMemory = lowMemory)
        return Pipeline(bundle, OnnxBackend(settings), MemoryPolicy(lowMemory), onEvent = onEvent).draw(request)
    }

    private fun createTempDir(): File = kotlin.io.path.createTempDirectory().toFile()

    private fun levels(picture: Picture) = FloatArray(picture.rgb.size) { (picture.rgb[it].toInt() and 0xff) / 255f }

    private fun goldenLatent(name: String, step: Int, size: Int): FloatArray {
        val bytes = File(Golden.folder, name).readBytes()
        val all = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        assertEquals(8 * size, all.remaining())
        return FloatArray(size) { all[step * size + it] }
    }

    private fun pictureOfPython() = picture(javaClass.getResourceAsStream("/nano-onnxruntime-1.22.png")!!)

    private fun picture(stream: InputStream): Picture {
        val image = stream.use(ImageIO::read)
        val rgb = ByteArray(image.width * image.height * 3) { i ->
            (image.getRGB(i / 3 % image.width, i / 3 / image.width) shr (16 - 8 * (i % 3))).toByte()
        }
        return Picture(image.width, image.height, rgb)
    }

    private fun psnr(found: FloatArray, reference: FloatArray, peak: Double = reference.maxOf { Math.abs(it) }.toDouble()): Double {
        assertEquals(reference.size, found.size)
        val square = found.indices.sumOf { (found[it].toDouble() - reference[it]).let { d -> d * d } } / found.size
        return if (square == 0.0) Double.POSITIVE_INFINITY else 20 * log10(peak / sqrt(square))
    }

    private companion object {
        /** Digest of the demo's weights. */
        const val WEIGHTS = "4b0b3aa9b78686b83b63773a30b7b504d3b399926f441d108c75181ffbe79b37"
    }
}
