package lira.app

import android.content.Intent
import android.view.View
import android.widget.ImageView
import android.widget.SeekBar
import lira.core.OnnxBackend
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotEquals
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Shadows.shadowOf

class MainActivityTest : WithPhone() {
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
    fun `drawing with a preview then done with figures`() {
        val gate = phone.halfway(steps = 8, OnnxBackend())
        phone.open()
        phone.draw(steps = 12)
        assertFalse(phone.isVisible(R.id.draw))
        waitUntil("step 8") { phone.text(R.id.status).contains("step 8 of 12") }
        assertNotNull(phone.view<ImageView>(R.id.picture).drawable)
        assertTrue(phone.isVisible(R.id.cancel))
        phone.screenshot("drawing")
        gate.release(1000)
        phone.waitForPicture()
        assertEquals(3, phone.text(R.id.figures).lines().size)
        assertTrue(phone.text(R.id.status).contains("Seed 7"))
        phone.screenshot("done")
    }

    @Test
    fun `a rotation in the middle of a drawing loses nothing`() {
        val gate = phone.halfway(steps = 4)
        phone.open()
        phone.type(R.id.prompt, PROMPT)
        phone.type(R.id.seed, "18446744073709551615")
        phone.view<SeekBar>(R.id.guidance).progress = 9
        phone.click(R.id.draw)
        waitUntil("step 4") { phone.text(R.id.status).contains("step 4 of 20") }
        phone.controller.recreate()
        phone.settle()
        assertTrue(phone.text(R.id.status).contains("step 4 of 20"))
        assertNotNull(phone.view<ImageView>(R.id.picture).drawable)
        gate.release(1000)
        phone.waitForPicture()
        assertEquals("18446744073709551615", phone.text(R.id.seed))
        assertEquals("Guidance: 4.5", phone.text(R.id.guidance_label))
    }

    @Test
    fun `a new process finds picture and controls again`() {
        phone.drawn()
        phone.controller.pause().stop().destroy()
        phone.open()
        assertTrue(phone.isVisible(R.id.keep))
        assertEquals(PROMPT, phone.text(R.id.prompt))
    }

    @Test
    fun `cancelling says so and keeps the prompt`() {
        val gate = phone.halfway(steps = 2)
        phone.open()
        phone.draw()
        waitUntil("step 2") { phone.text(R.id.status).contains("step 2") }
        phone.click(R.id.cancel)
        gate.release(1000)
        waitUntil("it is cancelled") { phone.text(R.id.status).startsWith("Cancelled") }
        assertEquals(PROMPT, phone.text(R.id.prompt))
        assertTrue(phone.isVisible(R.id.draw))
    }

    @Test
    fun `the dice throw another seed which is drawn with`() {
        phone.app.scripted = FakeBackend()
        phone.open()
        phone.type(R.id.prompt, PROMPT)
        phone.click(R.id.dice)
        val seed = phone.text(R.id.seed)
        phone.click(R.id.dice)
        assertNotEquals(seed, phone.text(R.id.seed))
        phone.click(R.id.draw)
        phone.waitForPicture()
        assertTrue(phone.text(R.id.status).contains("Seed ${phone.text(R.id.seed)}."))
    }

    @Test
    fun `no seed is seed 0`() {
        phone.app.scripted = FakeBackend()
        phone.open()
        phone.type(R.id.prompt, PROMPT)
        phone.type(R.id.seed, "")
        phone.click(R.id.draw)
        phone.waitForPicture()
        assertTrue(phone.text(R.id.status).contains("Seed 0."))
    }

    @Test
    fun `what cannot be drawn is one sentence and starts nothing`() {
        phone.open()
        phone.click(R.id.draw)
        assertEquals("The prompt is empty; say what to draw.", phone.text(R.id.sentence))
        phone.type(R.id.prompt, PROMPT)
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
        phone.waitForPicture()
        assertTrue(phone.text(R.id.status).contains("This had no effect"))
    }
}
