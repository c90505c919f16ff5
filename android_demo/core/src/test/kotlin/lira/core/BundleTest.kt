package lira.core

import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
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
    fun `a model that lost parity by its own manifest is refused where all is looked at`() {
        val lost = Golden.manifest("lost parity, and says so")
        val denoiser = "\"psnr_db\":20.0,\"cosine\":0.9999,\"threshold_db\":35,\"passed\":false"
        val picture = Golden.changed(lost, denoiser to denoiser.replace("20.0", "45.5").replace("false", "true"))
        for ((manifest, what) in listOf(lost to "the denoiser lost parity: 20.0 dB", picture to "the picture lost parity: 20.0 dB")) {
            val folder = bundle().also { it.resolve(Manifest.NAME).writeText(manifest) }
            Bundle.open(folder)
            val error = assertThrows(DamagedBundle::class.java) { Bundle.open(folder, strict = true) }
            assertEquals("parity_lost", error.code)
            assertTrue(error.message!!, error.message!!.startsWith(what))
            folder.resolve("extra").writeText("x")
            assertEquals("extra", codeOf { Bundle.open(folder, strict = true) }) // as lira-verify, which looks at files first
        }
    }

    @Test
    fun `a manifest of more than 4 MiB is not read`() {
        val folder = bundle()
        folder.resolve(Manifest.NAME).appendText(" ".repeat(4 shl 20))
        assertEquals("manifest_unreadable", codeOf { Bundle.open(folder) })
    }
}
