package lira.core.example

import java.io.File
import lira.core.Bundle
import lira.core.Event
import lira.core.LiRAException
import lira.core.OnnxBackend
import lira.core.Pipeline
import lira.core.Png
import lira.core.Request

/** What docs/apps.md shows to whoever puts a bundle into an app of their own; a test compiles and runs it. */
fun drawInto(folder: File, prompt: String, goal: File, say: (String) -> Unit): Boolean {
    try {
        val bundle = Bundle.open(folder) // every file's SHA-256; give hashes = false for one that was checked before
        val pipeline = Pipeline(bundle, OnnxBackend()) { event ->
            when (event) {
                is Event.StageStarted -> say(event.stage)
                is Event.Stepped -> say("step ${event.index + 1} of ${event.total}")
                is Event.StageFinished -> say("${event.stage}: ${event.peakBytes / 1_000_000} MB")
                is Event.PromptCut -> say("this has no effect: ${event.dropped}")
            }
        }
        // From another thread: pipeline.cancel()
        val drawing = pipeline.draw(Request(prompt, seed = 7, steps = 8))
        goal.outputStream().buffered().use { Png.write(it, drawing.picture, drawing.texts) }
        return true
    } catch (error: LiRAException) {
        say("${error.code}: ${error.message}") // one sentence, and a code that no version changes
        return false
    }
}
