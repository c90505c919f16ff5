package lira.core

import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class MemoryPolicyTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private fun graph(figures: MemoryFigures?) = Graph("a.onnx", null, emptyList(), emptyList(), figures, null)

    private val figures = MemoryFigures(predicted = 50, weights = 30, activations = 15, runtime = 5, measured = 60)

    @Test
    fun `what was measured counts before what was predicted and with low memory all but the weights`() {
        assertEquals(60L, MemoryPolicy().needed(graph(figures)))
        assertEquals(50L, MemoryPolicy().needed(graph(MemoryFigures(50, null, null, null, null))))
        assertEquals(20L, MemoryPolicy(lowMemory = true).needed(graph(figures)))
        assertEquals(60L, MemoryPolicy(lowMemory = true).needed(graph(MemoryFigures(50, 30, null, 5, 60))))
    }

    @Test
    fun `a stage is refused where it needs more than there is and only where both are known`() {
        MemoryPolicy { 60 }.check("decoder", graph(figures))
        MemoryPolicy { null }.check("decoder", graph(figures))
        MemoryPolicy { 0 }.check("decoder", graph(null))
        val error = assertThrows(OutOfMemory::class.java) { MemoryPolicy { 59 }.check("decoder", graph(figures)) }
        assertEquals("decoder", error.stage)
    }

    @Test
    fun `a peak is the kernel's mark since the last reset`() {
        val folder = temporary.root
        fun status(now: Int, most: Int) = File(folder, "status").writeText("Name:\ta\nVmHWM:\t $most kB\nVmRSS:\t $now kB\n")
        val memory = ProcessMemory(folder)
        status(100, 200)
        memory.reset()
        assertTrue(memory.canReset)
        assertEquals("5", File(folder, "clear_refs").readText())
        assertEquals(200L * 1024, memory.peakBytes())
        status(40, 50)
        assertEquals("the most of all readings", 200L * 1024, memory.peakBytes())
        memory.reset()
        assertEquals(50L * 1024, memory.peakBytes())
    }

    @Test
    fun `where the mark cannot be reset a peak is the most of what was read`() {
        File(temporary.root, "clear_refs").mkdir() // nothing can be written to it
        File(temporary.root, "status").writeText("VmHWM:\t 200 kB\nVmRSS:\t 100 kB\n")
        val memory = ProcessMemory(temporary.root)
        memory.reset()
        assertFalse(memory.canReset)
        assertEquals(100L * 1024, memory.peakBytes())
    }
}
