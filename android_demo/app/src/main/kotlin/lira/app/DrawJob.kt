package lira.app

import lira.core.Bundle
import lira.core.Event
import lira.core.LiRAException
import lira.core.MemoryPolicy
import lira.core.OutOfMemory
import lira.core.Picture
import lira.core.Pipeline
import lira.core.Png
import lira.core.Preview
import lira.core.PromptTooLong
import lira.core.Request
import lira.core.SessionSettings

/**
 * One drawing on a thread of its own.
 *
 * tell: called with each new record, and a preview every [PREVIEW_STEPS] steps; the last record is not RUNNING.
 */
class DrawJob(
    private val app: LiRAApp,
    private val journal: Journal,
    private val wish: Wish,
    private val tell: (Record, Picture?) -> Unit,
) {
    private var record = Record(Status.RUNNING, wish)
    private var preview: Lazy<Preview?> = lazyOf(null)
    private var side = 0

    @Volatile
    private var cancelled = false

    @Volatile
    private var pipeline: Pipeline? = null

    fun start() = Thread(::run, "draw").start()

    /** Ends the drawing as soon as the engine allows. */
    fun cancel() {
        cancelled = true
        pipeline?.cancel()
    }

    private fun run() {
        val last = try {
            draw()
            record.copy(status = Status.DONE)
        } catch (error: LiRAException) {
            failed(error)
        } catch (error: OutOfMemoryError) {
            record.copy(status = Status.FAILED, code = "out_of_memory")
        } catch (error: LinkageError) { // the engine has no code for this processor
            record.copy(status = Status.FAILED, code = ErrorCodes.of(error))
        } catch (error: Exception) {
            record.copy(status = Status.FAILED, code = ErrorCodes.of(error))
        }
        tell(last, null)
    }

    private fun failed(error: LiRAException): Record = when {
        error.code == "interrupted" -> record.copy(status = Status.CANCELLED)
        error is PromptTooLong -> record.copy(status = Status.FAILED, code = ErrorCodes.of(error), dropped = error.dropped)
        error is OutOfMemory -> record.copy(status = Status.FAILED, code = error.code, stage = error.stage ?: record.stage)
        else -> record.copy(status = Status.FAILED, code = ErrorCodes.of(error))
    }

    private fun draw() {
        // Every byte was checked when it was imported, into a folder that this app alone can write to.
        val bundle = Bundle.open(app.store.folder, hashes = false)
        // At the first preview the denoiser is loaded, so its latent has the shape that the manifest says.
        preview = lazy { Preview.of(bundle) }
        side = bundle.manifest.latentShape(bundle.manifest.resolutions.first()).last().toInt()
        val settings = SessionSettings(lowMemory = wish.lowMemory)
        val policy = MemoryPolicy(wish.lowMemory, app::availableBytes)
        val pipeline = Pipeline(bundle, app.backend(settings), policy, onEvent = ::heard)
        this.pipeline = pipeline
        if (cancelled) pipeline.cancel()
        val request = Request(wish.prompt, wish.seed, wish.steps, wish.guidance, cut = wish.cut)
        val drawing = pipeline.draw(request)
        journal.replace(journal.picture) { Png.write(it.buffered(), drawing.picture, drawing.texts) }
    }

    private fun heard(event: Event) {
        var picture: Picture? = null
        record = when (event) {
            is Event.PromptCut -> record.copy(dropped = event.dropped)
            is Event.StageStarted -> record.copy(stage = event.stage, step = 0, total = 0)
            is Event.Stepped -> {
                if (event.index % PREVIEW_STEPS == PREVIEW_STEPS - 1) picture = preview.value?.picture(event.x0, side, side)
                record.copy(step = event.index + 1, total = event.total)
            }
            is Event.StageFinished ->
                record.copy(figures = record.figures + Figure(event.stage, event.seconds, event.peakBytes))
        }
        tell(record, picture)
    }

    companion object {
        /** Steps from one preview to the next. */
        const val PREVIEW_STEPS = 2
    }
}
