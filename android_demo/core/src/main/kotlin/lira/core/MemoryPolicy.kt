package lira.core

import java.io.File
import java.io.IOException

/**
 * Decides before a component is loaded whether it fits, by the figures of the manifest: a stage that would be killed is
 * refused with one sentence instead.
 *
 * available: bytes that the system would give to this process now, null where it does not say.
 */
class MemoryPolicy(val lowMemory: Boolean = false, private val available: () -> Long? = { null }) {
    /** Throws [OutOfMemory], naming the stage, where it needs more than there is. */
    fun check(stage: String, graph: Graph) {
        val need = needed(graph) ?: return
        val there = available() ?: return
        if (need > there) {
            throw OutOfMemory("the $stage needs ${megabytes(need)} MB of memory, but ${megabytes(there)} MB are free.", stage)
        }
    }

    /** Bytes that a graph's stage takes, null where its exporter does not know; with low memory all but packed weights. */
    fun needed(graph: Graph): Long? {
        val memory = graph.memory ?: return null
        val all = memory.measured ?: memory.predicted
        if (!lowMemory || memory.activations == null || memory.runtime == null) return all
        return memory.activations + memory.runtime
    }

    private fun megabytes(bytes: Long) = (bytes + 999_999) / 1_000_000
}

/** Resident memory of this process as Linux and Android say it. */
class ProcessMemory(private val folder: File = File("/proc/self")) {
    private var sampled = 0L

    /** Begins a new stage: resets the kernel's high-water mark where the system allows that. */
    fun reset() {
        sampled = 0
        canReset = try {
            File(folder, "clear_refs").writeText("5")
            true
        } catch (refused: IOException) {
            false
        }
    }

    /** Whether peaks are the kernel's own mark, and not the largest of some readings. */
    var canReset = false
        private set

    /** Takes a reading; returns the most bytes since [reset]. */
    fun peakBytes(): Long {
        sampled = maxOf(sampled, status("VmRSS"), if (canReset) status("VmHWM") else 0)
        return sampled
    }

    private fun status(field: String): Long = try {
        File(folder, "status").useLines { lines ->
            val line = lines.firstOrNull { it.startsWith("$field:") }
            (line?.filter(Char::isDigit)?.toLongOrNull() ?: 0) * 1024
        }
    } catch (refused: IOException) {
        0
    }
}
