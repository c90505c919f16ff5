package lira.core

/**
 * One picture to draw; null means the bundle's own default.
 *
 * seed: its 64 bits are unsigned. steps: 1..1000. guidance: 0..100, 1 is none. cut: draw the beginning of a prompt that is
 * longer than the text encoder reads, instead of refusing it.
 */
data class Request(
    val prompt: String,
    val seed: Long = 0,
    val steps: Int? = null,
    val guidance: Double? = null,
    val method: Method? = null,
    val cut: Boolean = false,
)

/** What happens while a picture is drawn, in this order. Stages are components by name. */
sealed class Event {
    /** A tail of the prompt has no effect. */
    class PromptCut(val dropped: String) : Event()

    /** A stage begins to load its graph. */
    class StageStarted(val stage: String) : Event()

    /** One step of [total] is done, [index] counting from 0; [x0] (1, C, H, W) is the clean latent as predicted now. */
    class Stepped(val index: Int, val total: Int, val x0: FloatArray, val reasoningSteps: Int, val x: FloatArray) : Event()

    /** A stage has unloaded: seconds, and the most resident bytes of the process while it ran. */
    class StageFinished(val stage: String, val seconds: Double, val peakBytes: Long) : Event()
}

/** The result: the picture, and the latent (1, C, H, W) that it was decoded from. */
class Drawing(val picture: Picture, val latent: FloatArray, val texts: Map<String, String>)

/** Whether a prompt says nothing: as Python's str.strip, for which U+0085 is a space too. */
fun isBlank(prompt: String): Boolean = prompt.all { it.isWhitespace() || it == '\u0085' }

/**
 * Prompt to picture in three stages, with one component in memory at a time. For one drawing.
 *
 * onEvent: called on the drawing's own thread. Throws [NotRunnable] for a partial bundle or one for another engine.
 */
class Pipeline(
    private val bundle: Bundle,
    private val backend: Backend,
    private val policy: MemoryPolicy = MemoryPolicy(),
    private val memory: ProcessMemory = ProcessMemory(),
    private val onEvent: (Event) -> Unit = {},
) {
    @Volatile
    private var cancelled = false

    init {
        bundle.manifest.requireRunnable()
    }

    /** Ends the drawing from any thread; [draw] throws [Cancelled], and nothing stays loaded. */
    fun cancel() {
        cancelled = true
        backend.stop()
    }

    /** Draws. Throws a [LiRAException]: bad input, no memory, a graph that does not load or run, [Cancelled]. */
    fun draw(request: Request): Drawing {
        val settings = settings(request)
        val tokens = tokens(request)
        val text = stage(Interface.TEXT_ENCODER) {
            floats(run(it, mapOf("input_ids" to Tensor.Ints(tokens.ids))), "text_states")
        }
        val latent = stage(Interface.DENOISER) { denoise(it, settings, text) }
        val picture = stage(Interface.DECODER) {
            val image = floats(run(it, mapOf("latent" to Tensor.Floats(latent))), "image")
            toPicture(image, bundle.resolution, bundle.resolution)
        }
        return Drawing(picture, latent, texts(settings))
    }

    private class Settings(val request: Request, val method: Method, val guidance: Double, val sigmas: DoubleArray)

    private fun settings(request: Request): Settings {
        val defaults = bundle.manifest.sampler
        if (isBlank(request.prompt)) throw BadInput("the prompt is empty; say what to draw.")
        val guidance = request.guidance ?: defaults.guidance
        Sampler.checkGuidance(guidance)
        val sigmas = Sampler.shiftedSigmas(request.steps ?: defaults.steps, defaults.shift)
        return Settings(request, request.method ?: defaults.method, guidance, sigmas)
    }

    private fun tokens(request: Request): Tokens {
        val tokens = Tokenizer.load(bundle.tokenizerFile).encode(request.prompt)
        if (tokens.truncated) {
            if (!request.cut) throw PromptTooLong(tokens.dropped)
            onEvent(Event.PromptCut(tokens.dropped))
        }
        return tokens
    }

    private fun <T> stage(name: String, work: (String) -> T): T {
        stopIfCancelled()
        onEvent(Event.StageStarted(name))
        memory.reset()
        val start = System.nanoTime()
        val result = try {
            val graph = bundle.graph(name)
            policy.check(name, graph)
            backend.load(graph, bundle.folder)
            memory.peakBytes()
            work(name)
        } catch (error: OutOfMemory) {
            throw if (error.stage != null) error else OutOfMemory("the $name: ${error.message}", name, error)
        } catch (error: OutOfMemoryError) {
            throw OutOfMemory("there is not enough memory for the $name.", name, error)
        } finally {
            memory.peakBytes()
            backend.unload()
        }
        onEvent(Event.StageFinished(name, (System.nanoTime() - start) / 1e9, memory.peakBytes()))
        return result
    }

    private fun denoise(stage: String, settings: Settings, text: FloatArray): FloatArray {
        val shape = bundle.manifest.latentShape(bundle.manifest.resolutions.first())
        // The denoiser is loaded, so its latent has this shape: a forged manifest gets no memory for another.
        val start = Noise.normal(settings.request.seed, shape.fold(1, { n, side -> Math.multiplyExact(n, side.toInt()) }))
        val empty = if (settings.guidance == 1.0) text else bundle.emptyPrompt()
        var reasoningSteps = 0
        fun velocity(states: FloatArray, isText: Boolean) = Velocity { x, sigma ->
            val inputs = mapOf(
                "latent" to Tensor.Floats(x),
                "timestep" to Tensor.Floats(floatArrayOf(sigma.toFloat())),
                "text_states" to Tensor.Floats(states),
            )
            val outputs = run(stage, inputs)
            if (isText) reasoningSteps = (outputs["reasoning_steps"] as Tensor.Ints).values[0]
            floats(outputs, "velocity")
        }
        val guided = Sampler.guided(velocity(text, true), velocity(empty, false), settings.guidance)
        return Sampler.sample(guided, start, settings.sigmas, settings.method) { step ->
            memory.peakBytes()
            onEvent(Event.Stepped(step.index, settings.sigmas.size - 1, step.x0, reasoningSteps, step.x))
        }
    }

    private fun run(component: String, inputs: Map<String, Tensor>): Map<String, Tensor> {
        stopIfCancelled()
        val outputs = try {
            backend.run(inputs)
        } catch (error: LiRAException) {
            throw if (cancelled) Cancelled() else error
        }
        stopIfCancelled()
        for ((name, value) in outputs) {
            if (value is Tensor.Floats && value.values.any { !it.isFinite() }) {
                throw NotFinite("the $component returned $name with values that are not finite numbers.")
            }
        }
        return outputs
    }

    private fun stopIfCancelled() {
        if (cancelled) throw Cancelled()
    }

    private fun floats(outputs: Map<String, Tensor>, name: String): FloatArray = (outputs[name] as Tensor.Floats).values

    /** What a PNG says of itself: the same entries as lira-generate's. */
    private fun texts(settings: Settings): Map<String, String> = mapOf(
        "Software" to "LiRA",
        "prompt" to settings.request.prompt,
        "seed" to settings.request.seed.toULong().toString(),
        "steps" to (settings.sigmas.size - 1).toString(),
        "sampler" to settings.method.id,
        "guidance" to formatG(settings.guidance),
        "bundle" to bundle.digest,
    )
}
