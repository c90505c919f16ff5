package lira.core

import java.io.File

/**
 * Draws once and prints seconds and memory by stage: `java -cp ... lira.core.DrawOnceKt BUNDLE PROMPT STEPS [low]`; see
 * docs/apps.md. Memory is VmHWM of the whole process, the virtual machine's own included.
 */
fun main(arguments: Array<String>) {
    val (folder, prompt, steps) = arguments
    val lowMemory = arguments.getOrNull(3) == "low"
    val memory = ProcessMemory()
    memory.reset()
    println("%-14s %8s %8.1f".format("idle", "", memory.peakBytes() / 1e6))
    val settings = SessionSettings(threads = 2, lowMemory = lowMemory)
    val pipeline = Pipeline(Bundle.open(File(folder)), OnnxBackend(settings), MemoryPolicy(lowMemory), memory) { event ->
        if (event is Event.StageFinished) {
            println("%-14s %8.2f %8.1f".format(event.stage, event.seconds, event.peakBytes / 1e6))
        }
    }
    pipeline.draw(Request(prompt, steps = steps.toInt()))
}
