package lira.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test

class PipelineTest {
    private lateinit var bundle: Bundle
    private val request = Request("a red apple", steps = 3)
    private val whole = listOf("text_encoder", "denoiser", "decoder").flatMap { listOf("load $it.onnx", "unload $it.onnx") }

    @Before
    fun open() {
        bundle = Bundle.open(Golden.requireBundle())
    }

    @Test
    fun `each component is unloaded before the next is loaded`() {
        val backend = ScriptedBackend()
        val drawing = Pipeline(bundle, backend).draw(request)
        assertEquals(whole, backend.calls)
        assertEquals(256, drawing.picture.width)
    }

    @Test
    fun `a picture says of itself what lira-generate writes`() {
        val asked = Request("ein Löwe", seed = -1, steps = 2, guidance = 2.5, method = Method.EULER)
        val expected = mapOf(
            "Software" to "LiRA", "prompt" to "ein Löwe", "seed" to "18446744073709551615", "steps" to "2",
            "sampler" to "euler", "guidance" to "2.5", "bundle" to bundle.digest,
        )
        assertEquals(expected, Pipeline(bundle, ScriptedBackend()).draw(asked).texts)
        for ((guidance, text) in listOf(4.0 to "4", 100.0 to "100", 0.0 to "0", 1.23456789 to "1.23457", 1e-5 to "1e-05")) {
            val texts = Pipeline(bundle, ScriptedBackend()).draw(asked.copy(guidance = guidance)).texts
            assertEquals(text, texts.getValue("guidance"))
        }
    }

    @Test
    fun `reasoning steps are those for the prompt and not those for the empty one`() {
        var runs = 0
        val backend = ScriptedBackend { path ->
            val velocity = Tensor.Floats(FloatArray(4 * 32 * 32))
            val steps = Tensor.Ints(intArrayOf(if (runs++ % 2 == 1) 3 else 9)) // the first run is the text encoder's
            if (path == "denoiser.onnx") mapOf("velocity" to velocity, "reasoning_steps" to steps) else null
        }
        val told = ArrayList<Int>()
        Pipeline(bundle, backend) { if (it is Event.Stepped) told += it.reasoningSteps }.draw(request)
        assertEquals(listOf(3, 3, 3), told)
    }

    @Test
    fun `events tell stages and steps in their order`() {
        val told = ArrayList<String>()
        Pipeline(bundle, ScriptedBackend()) { event ->
            told += when (event) {
                is Event.PromptCut -> "cut"
                is Event.StageStarted -> "start ${event.stage}"
                is Event.Stepped -> "step ${event.index} of ${event.total}"
                is Event.StageFinished -> "end ${event.stage}".also { assertTrue(event.peakBytes > 1_000_000) }
            }
        }.draw(request)
        val expected = listOf(
            "start text_encoder", "end text_encoder", "start denoiser", "step 0 of 3", "step 1 of 3", "step 2 of 3",
            "end denoiser", "start decoder", "end decoder",
        )
        assertEquals(expected, told)
    }

    @Test
    fun `cancelling at any event ends the drawing with nothing loaded`() {
        for (moment in 0 until 9) {
            val backend = ScriptedBackend()
            var events = 0
            lateinit var pipeline: Pipeline
            pipeline = Pipeline(bundle, backend) { if (events++ == moment) pipeline.cancel() }
            if (moment == 8) {
                pipeline.draw(request) // the last event: the picture is there
            } else {
                assertThrows("at event $moment", Cancelled::class.java) { pipeline.draw(request) }
            }
            val loads = backend.calls.count { it.startsWith("load") }
            assertEquals(loads, backend.calls.count { it.startsWith("unload") })
        }
    }

    @Test
    fun `an engine that is stopped in a run is a cancelled drawing`() {
        lateinit var pipeline: Pipeline
        val backend = ScriptedBackend {
            pipeline.cancel()
            throw DamagedBundle("graph_failed", "terminated")
        }
        pipeline = Pipeline(bundle, backend)
        assertThrows(Cancelled::class.java) { pipeline.draw(request) }
        assertEquals(listOf("load text_encoder.onnx", "stop", "unload text_encoder.onnx"), backend.calls)
    }

    @Test
    fun `values that are not finite are named and nothing stays loaded`() {
        val backend = ScriptedBackend { path ->
            val nan = Tensor.Floats(FloatArray(4 * 32 * 32) { if (it == 77) Float.NaN else 0f })
            if (path == "denoiser.onnx") mapOf("velocity" to nan, "reasoning_steps" to Tensor.Ints(IntArray(1))) else null
        }
        val error = assertThrows(NotFinite::class.java) { Pipeline(bundle, backend).draw(request) }
        assertEquals("not_finite", error.code)
        assertTrue(error.message!!.startsWith("the denoiser returned velocity"))
        assertEquals("unload denoiser.onnx", backend.calls.last())
    }

    @Test
    fun `running out of memory names the stage`() {
        for (error in listOf(OutOfMemory("no"), OutOfMemoryError())) {
            val backend = ScriptedBackend { if (it == "decoder.onnx") throw error else null }
            val caught = assertThrows(OutOfMemory::class.java) { Pipeline(bundle, backend).draw(request) }
            assertEquals("decoder", caught.stage)
            assertEquals("unload decoder.onnx", backend.calls.last())
        }
    }

    @Test
    fun `a stage that does not fit is not loaded and low memory asks for less`() {
        val denoiser = bundle.graph(Interface.DENOISER)
        val low = MemoryPolicy(lowMemory = true).needed(denoiser)!!
        val usual = MemoryPolicy().needed(denoiser)!!
        assertTrue(low < usual)
        val backend = ScriptedBackend()
        val policy = MemoryPolicy(available = { usual - 1 })
        val error = assertThrows(OutOfMemory::class.java) { Pipeline(bundle, backend, policy).draw(request) }
        assertEquals("denoiser", error.stage)
        assertEquals(whole.take(2), backend.calls)
        Pipeline(bundle, backend, MemoryPolicy(lowMemory = true) { usual - 1 }).draw(request)
    }

    @Test
    fun `a long prompt is refused with what it would lose and its beginning is drawn where that is asked for`() {
        val long = Request("apple " .repeat(1_667) + "end", steps = 1)
        val backend = ScriptedBackend()
        val error = assertThrows(PromptTooLong::class.java) { Pipeline(bundle, backend).draw(long) }
        assertTrue(error.dropped.startsWith("apple apple") && error.dropped.endsWith("end"))
        assertEquals(emptyList<String>(), backend.calls)
        var cut = ""
        Pipeline(bundle, backend) { if (it is Event.PromptCut) cut = it.dropped }.draw(long.copy(cut = true))
        assertEquals(error.dropped, cut)
    }

    @Test
    fun `bad requests load nothing`() {
        val bad = listOf(
            Request(" \n"), Request("\u0085\u001c\u00a0"), request.copy(steps = 0), request.copy(steps = 1001), request.copy(guidance = -1.0),
            request.copy(guidance = Double.NaN), request.copy(prompt = "\udc00"),
        )
        for (each in bad) {
            val backend = ScriptedBackend()
            assertEquals("$each", "bad_input", codeOf { Pipeline(bundle, backend).draw(each) })
            assertEquals(emptyList<String>(), backend.calls)
        }
    }
}
