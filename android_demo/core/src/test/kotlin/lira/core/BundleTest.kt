package lira.core

import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class BundleTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private fun bundle(manifest: String? = null): File = Golden.writeBase(temporary.newFolder()).also { folder ->
        manifest?.let { folder.resolve(Manifest.NAME).writeText(Golden.manifest(it)) }
    }

    @Test
    fun `a tensor of values that are not finite is refused where it is read`() {
        val folder = bundle()
        val states = folder.resolve("empty_prompt.f32").also { it.writeBytes(ByteArray(4 * 77)) }
        assertEquals("wrong_sha256", codeOf { Bundle.open(folder) })
        val altered = Bundle.open(folder, hashes = false)
        assertEquals(77, altered.emptyPrompt().size)
        states.writeBytes(ByteArray(4 * 77) { if (it % 4 < 2) 0 else -1 }) // NaN
        assertEquals("tensor_not_finite", codeOf { altered.emptyPrompt() })
    }

    @Test
    fun `a bundle for another engine and one that lacks a component are not drawn with`() {
        assertEquals(null, codeOf { Pipeline(Bundle.open(bundle()), ScriptedBackend()) })
        for (manifest in listOf("target = \"tflite\"", "no decoder, partial")) {
            val opened = Bundle.open(bundle(manifest))
            assertEquals(manifest, "bad_input", codeOf { Pipeline(opened, ScriptedBackend()) })
        }
        assertEquals("bad_input", codeOf { Bundle.open(bundle("partial, no empty prompt")).emptyPrompt() })
    }

    @Test
    fun `a manifest of more than 4 MiB is not read`() {
        val folder = bundle()
        folder.resolve(Manifest.NAME).appendText(" ".repeat(4 shl 20))
        assertEquals("manifest_unreadable", codeOf { Bundle.open(folder) })
    }
}
