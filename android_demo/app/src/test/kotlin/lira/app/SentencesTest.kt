package lira.app

import android.app.ActivityManager
import android.system.ErrnoException
import android.system.OsConstants
import java.io.File
import java.io.IOException
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf

@RunWith(RobolectricTestRunner::class)
class SentencesTest {
    private val context = RuntimeEnvironment.getApplication() as TestApp
    private val sentences = Sentences(context.resources)

    @Test
    fun `every stable code of a bundle has one sentence of its own`() {
        val codes = codesOf("MEMORY", "NUMBERS", "DAMAGED")
        assertTrue(codes.size >= 25)
        assertEquals(emptySet<String>(), codes - Sentences.SENTENCES.keys)
        val said = codes.map { context.getString(Sentences.SENTENCES.getValue(it), "x") }
        assertEquals(codes.size, said.toSet().size)
        for (sentence in said) assertTrue(sentence, sentence.endsWith(".") && sentence.count { it == '.' } <= 2)
    }

    /** Codes as runtime/lira_runtime/codes.py has them: the keys of these tables. */
    private fun codesOf(vararg tables: String): Set<String> {
        val text = File(System.getProperty("lira.golden"), "../../runtime/lira_runtime/codes.py").readText()
        return tables.flatMap { table ->
            val body = text.substringAfter("\n$table: Mapping").substringBefore("\n}")
            Regex("\n    \"([a-z0-9_]+)\":").findAll(body).map { it.groupValues[1] }
        }.toSet()
    }

    @Test
    fun `memory names the stage and offers low memory`() {
        val failed = sentences.failed(Record(Status.FAILED, stage = "denoiser", code = "out_of_memory"))
        assertTrue(failed.sentence, failed.sentence.contains("Drawing"))
        assertEquals(Remedy.LOW_MEMORY, failed.remedy)
        val killed = sentences.failed(Record(Status.KILLED, stage = "decoder", code = "out_of_memory"))
        assertTrue(killed.sentence, killed.sentence.contains("Painting the pixels"))
        assertEquals(Remedy.LOW_MEMORY to "out_of_memory", killed.remedy to killed.code)
    }

    @Test
    fun `memory is what is free before the system ends other processes`() {
        val manager = shadowOf(context.getSystemService(ActivityManager::class.java))
        fun free(total: Long, free: Long) = manager.setMemoryInfo(
            ActivityManager.MemoryInfo().apply {
                totalMem = total
                availMem = free
                threshold = 200
            },
        )
        free(total = 1000, free = 700)
        assertEquals(500L, context.systemBytes())
        free(total = 1000, free = 100)
        assertEquals(0L, context.systemBytes())
        free(total = 0, free = 0)
        assertEquals("it does not say", null, context.systemBytes())
    }

    @Test
    fun `a full disk is named whatever says so`() {
        val full = ErrnoException("write", OsConstants.ENOSPC)
        assertEquals("disk_full", ErrorCodes.of(IOException("write failed", full)))
        assertEquals("disk_full", ErrorCodes.of(IOException("No space left on device")))
        assertEquals("io_error", ErrorCodes.of(IOException("read failed", ErrnoException("read", OsConstants.EIO))))
        assertEquals("io_error", ErrorCodes.of(SecurityException("the leave to read was taken back")))
        assertEquals("internal", ErrorCodes.of(IllegalStateException()))
    }

    @Test
    fun `figures are rounded up to whole megabytes`() {
        val record = Record(Status.DONE, figures = listOf(Figure("decoder", 1.25, 20_000_001)))
        assertTrue(sentences.figures(record), sentences.figures(record).endsWith("at most 21 MB"))
    }

    @Test
    fun `another bundle is offered where it would help and only there`() {
        assertEquals(Remedy.CHOOSE, sentences.failed("wrong_sha256").remedy)
        for (code in listOf("disk_full", "not_finite", "bad_input", ErrorCodes.EMPTY_PROMPT)) assertEquals(null, sentences.failed(code).remedy)
        assertEquals("bad_input", sentences.failed(ErrorCodes.BAD_SEED).code)
        val other = sentences.failed(ErrorCodes.NOT_RUNNABLE)
        assertEquals("bad_input" to Remedy.CHOOSE, other.code to other.remedy)
        assertTrue(other.sentence, other.sentence.endsWith("choose a whole bundle for ONNX."))
    }
}
