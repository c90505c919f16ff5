package lira.app

import android.content.Intent
import android.net.Uri
import android.view.View
import android.view.ViewGroup
import android.widget.EditText
import android.widget.ImageView
import android.widget.SeekBar
import android.widget.Switch
import android.widget.TextView
import java.util.concurrent.Semaphore
import lira.core.Backend
import lira.core.OnnxBackend
import lira.core.Tensor
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

private const val PHONE = "w392dp-h820dp"

@RunWith(RobolectricTestRunner::class)
@Config(qualifiers = "$PHONE-hdpi")
class MainActivityTest {
    private val phone = Phone()
    private val prompt = "a panda right of a pizza on a pink background"

    @Before
    fun bundle() {
        phone.app.store.take(sourceOf(demoBundle())) { _, _ -> }
    }

    /** The screen after a drawing by the real engine, which is drawn once and remembered. */
    private fun drawn(): Phone {
        val (record, picture) = kept ?: drawOnce().also { kept = it }
        phone.journal.write(record)
        phone.journal.picture.writeBytes(picture)
        phone.open()
        phone.type(R.id.prompt, prompt)
        phone.type(R.id.seed, "7")
        assertTrue(phone.isVisible(R.id.keep))
        return phone
    }

    private fun drawOnce(): Pair<Record, ByteArray> {
        phone.open()
        draw(steps = 12)
        waitUntil("the picture is there") { phone.isVisible(R.id.keep) || phone.isVisible(R.id.error) }
        assertEquals("", phone.text(R.id.sentence))
        phone.controller.pause().stop().destroy()
        return phone.journal.read() to phone.journal.picture.readBytes()
    }

    private fun draw(steps: Int) {
        phone.type(R.id.prompt, prompt)
        phone.type(R.id.seed, "7")
        phone.view<SeekBar>(R.id.steps).progress = steps - 1
        phone.click(R.id.draw)
    }

    /** Makes [backend] wait before each step of the denoiser beyond the first [steps]. */
    private fun halfway(steps: Int, backend: Backend = FakeBackend()): Semaphore {
        val gate = Semaphore(steps * 2)
        phone.app.scripted = object : Backend by backend {
            override fun run(inputs: Map<String, Tensor>): Map<String, Tensor> {
                if ("timestep" in inputs) gate.acquire()
                return backend.run(inputs)
            }
        }
        return gate
    }

    @Test
    fun `without a bundle it asks for one and draws nothing`() {
        phone.app.store.folder.deleteRecursively()
        phone.open()
        assertFalse(phone.view<View>(R.id.draw).isEnabled)
        assertTrue(phone.text(R.id.placeholder).contains("manifest.json"))
        phone.click(R.id.choose)
        assertEquals(Intent.ACTION_OPEN_DOCUMENT_TREE, shadowOf(phone.activity).nextStartedActivity.action)
    }

    @Test
    fun `empty`() {
        phone.open()
        assertTrue(phone.text(R.id.bundle).startsWith("nano"))
        assertFalse(phone.isVisible(R.id.progress))
        phone.screenshot("empty")
    }

    @Test
    fun `drawing with a preview then done with figures`() {
        val gate = halfway(steps = 8, OnnxBackend())
        phone.open()
        draw(steps = 12)
        assertFalse(phone.isVisible(R.id.draw))
        waitUntil("step 8") { phone.text(R.id.status).contains("step 8 of 12") }
        assertNotNull(phone.view<ImageView>(R.id.picture).drawable)
        assertTrue(phone.isVisible(R.id.cancel))
        phone.screenshot("drawing")
        gate.release(1000)
        waitUntil("the picture is there") { phone.isVisible(R.id.keep) }
        assertEquals(3, phone.text(R.id.figures).lines().size)
        assertTrue(phone.text(R.id.status).contains("Seed 7"))
        phone.screenshot("done")
    }

    @Test
    @Config(qualifiers = "$PHONE-night-hdpi")
    fun `dark`() = drawn().screenshot("dark")

    @Test
    @Config(fontScale = 1.6f)
    fun `a large font cuts no text`() {
        drawn()
        for (id in listOf(R.id.status, R.id.figures, R.id.draw, R.id.save, R.id.share, R.id.choose, R.id.bundle)) {
            val view = phone.view<TextView>(id)
            val room = view.height - view.compoundPaddingTop - view.compoundPaddingBottom
            assertTrue(view.text.toString(), view.layout.height <= room)
        }
        phone.screenshot("large-font")
    }

    @Test
    @Config(qualifiers = "w820dp-h392dp-land-hdpi")
    fun `on its side`() = drawn().screenshot("landscape")

    @Test
    fun `no memory says which stage and draws with low memory at one tap`() {
        phone.app.scripted = FakeBackend()
        phone.app.available = 25_000_000 // the denoiser takes 36 MB, with low memory 23
        phone.open()
        phone.type(R.id.prompt, prompt)
        phone.click(R.id.draw)
        waitUntil("the error is there") { phone.isVisible(R.id.error) }
        assertTrue(phone.text(R.id.sentence), phone.text(R.id.sentence).contains("“Drawing”"))
        assertEquals("code: out_of_memory", phone.text(R.id.code))
        phone.screenshot("error")
        phone.click(R.id.remedy)
        waitUntil("the picture is there") { phone.isVisible(R.id.keep) }
        assertTrue(phone.app.settings!!.lowMemory && phone.view<Switch>(R.id.low_memory).isChecked)
    }

    @Test
    fun `a killed drawing leaves the screen and the prompt and offers low memory`() {
        halfway(steps = 2)
        phone.open()
        phone.type(R.id.prompt, prompt)
        phone.click(R.id.draw)
        waitUntil("step 2") { phone.text(R.id.status).contains("step 2") }
        phone.killDrawing()
        waitUntil("the error is there") { phone.isVisible(R.id.error) }
        assertTrue(phone.text(R.id.sentence), phone.text(R.id.sentence).startsWith("The system ended the drawing at “Drawing”"))
        assertEquals(prompt, phone.view<EditText>(R.id.prompt).text.toString())
        assertTrue(phone.isVisible(R.id.remedy))
    }

    @Test
    fun `a rotation in the middle of a drawing loses nothing`() {
        val gate = halfway(steps = 4)
        phone.open()
        phone.type(R.id.prompt, prompt)
        phone.type(R.id.seed, "18446744073709551615")
        phone.view<SeekBar>(R.id.guidance).progress = 9
        phone.click(R.id.draw)
        waitUntil("step 4") { phone.text(R.id.status).contains("step 4 of 20") }
        phone.controller.recreate()
        phone.settle()
        assertTrue(phone.text(R.id.status).contains("step 4 of 20"))
        assertNotNull(phone.view<ImageView>(R.id.picture).drawable)
        gate.release(1000)
        waitUntil("the picture is there") { phone.isVisible(R.id.keep) }
        assertEquals("18446744073709551615", phone.text(R.id.seed))
        assertEquals("Guidance: 4.5", phone.text(R.id.guidance_label))
    }

    @Test
    fun `a new process finds picture and controls again`() {
        drawn()
        phone.controller.pause().stop().destroy()
        phone.open()
        assertTrue(phone.isVisible(R.id.keep))
        assertEquals(prompt, phone.text(R.id.prompt))
    }

    @Test
    fun `cancelling says so and keeps the prompt`() {
        val gate = halfway(steps = 2)
        phone.open()
        phone.type(R.id.prompt, prompt)
        phone.click(R.id.draw)
        waitUntil("step 2") { phone.text(R.id.status).contains("step 2") }
        phone.click(R.id.cancel)
        gate.release(1000)
        waitUntil("it is cancelled") { phone.text(R.id.status).startsWith("Cancelled") }
        assertEquals(prompt, phone.text(R.id.prompt))
        assertTrue(phone.isVisible(R.id.draw))
    }

    @Test
    fun `what cannot be drawn is one sentence and starts nothing`() {
        phone.open()
        phone.click(R.id.draw)
        assertEquals("The prompt is empty; say what to draw.", phone.text(R.id.sentence))
        phone.type(R.id.prompt, prompt)
        phone.type(R.id.seed, "99999999999999999999")
        phone.click(R.id.draw)
        assertTrue(phone.text(R.id.sentence).startsWith("The seed must be"))
        assertEquals(Status.NONE, phone.journal.read().status)
        phone.type(R.id.seed, "7")
        phone.type(R.id.prompt, "apple ".repeat(1_667))
        phone.app.scripted = FakeBackend()
        phone.click(R.id.draw)
        waitUntil("the error is there") { phone.text(R.id.sentence).startsWith("The prompt is too long") }
        assertEquals("Draw its beginning", phone.text(R.id.remedy))
        phone.click(R.id.remedy)
        waitUntil("the picture is there") { phone.isVisible(R.id.keep) }
        assertTrue(phone.text(R.id.status).contains("This had no effect"))
    }

    @Test
    fun `a damaged bundle is refused in one sentence and the old one still draws`() {
        phone.open()
        val damaged = sourceOf(demoBundle()).files.toMutableMap()
        damaged["decoder.onnx"] = { "x".byteInputStream() }
        phone.app.importer.begin { Source(damaged) }
        assertTrue(phone.isVisible(R.id.progress))
        waitUntil("the import ended") { phone.isVisible(R.id.error) }
        assertEquals("code: wrong_size", phone.text(R.id.code))
        assertEquals("Choose another model", phone.text(R.id.remedy))
        assertTrue(phone.text(R.id.bundle).startsWith("nano"))
        drawn()
    }

    @Test
    fun `every control says to a screen reader what it is`() {
        phone.open()
        fun check(view: View) {
            if (view is ViewGroup) (0 until view.childCount).forEach { check(view.getChildAt(it)) }
            if (!view.isClickable || !view.isShown || view is ViewGroup) return
            val text = (view as? TextView)?.let { it.text.isNotEmpty() || !it.hint.isNullOrEmpty() } ?: false
            assertTrue("$view", text || !view.contentDescription.isNullOrEmpty())
            assertTrue("$view is lower than 48 dp", view.height >= 48 * view.resources.displayMetrics.density - 1)
        }
        check(phone.activity.window.decorView)
        for (id in listOf(R.id.steps, R.id.guidance, R.id.picture, R.id.progress)) {
            assertFalse(phone.view<View>(id).contentDescription.isNullOrEmpty())
        }
    }

    @Test
    fun `the picture is shared byte for byte and nothing else is`() {
        drawn()
        phone.click(R.id.share)
        val chooser = shadowOf(phone.activity).nextStartedActivity
        assertEquals(Intent.ACTION_CHOOSER, chooser.action)
        val bytes = phone.app.contentResolver.openInputStream(PictureProvider.URI)!!.use { it.readBytes() }
        assertTrue(phone.journal.picture.readBytes().contentEquals(bytes))
        val other = Uri.parse("content://lira.app.pictures/../drawing.properties")
        assertTrue(runCatching { phone.app.contentResolver.openInputStream(other) }.isFailure)
    }

    private companion object {
        var kept: Pair<Record, ByteArray>? = null
    }
}
