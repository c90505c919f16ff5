package lira.app

import android.provider.MediaStore
import android.view.View
import android.widget.EditText
import android.widget.ImageView
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config

/** What a user must not lose: the last picture, what was said, the prompt. */
@RunWith(RobolectricTestRunner::class)
@Config(qualifiers = "$PHONE-hdpi")
class KeepTest {
    private val phone = Phone()
    private val gallery: Gallery = Robolectric.setupContentProvider(Gallery::class.java, MediaStore.AUTHORITY)

    @Before
    fun bundle() {
        phone.app.store.take(sourceOf(demoBundle())) { _, _ -> }
        phone.app.scripted = FakeBackend()
        phone.open()
    }

    private fun assertPandaIsThere() {
        assertNotNull(phone.view<ImageView>(R.id.picture).drawable)
        assertEquals("Picture of: $PROMPT", phone.view<ImageView>(R.id.picture).contentDescription)
        assertTrue(phone.isVisible(R.id.save) && phone.isVisible(R.id.share))
    }

    @Test
    fun `after a cancelled and a failed drawing the last picture can be seen and saved under its own name`() {
        phone.draw()
        phone.waitForPicture()
        phone.type(R.id.prompt, "a pear")
        phone.type(R.id.seed, "8")
        phone.view<View>(R.id.draw).performClick() // and is cancelled before the service has heard of it
        phone.click(R.id.cancel)
        waitUntil("it is cancelled") { phone.text(R.id.status).startsWith("Cancelled") }
        assertPandaIsThere()
        phone.click(R.id.save)
        assertEquals("Cancelled. Nothing was lost.\nSaved to Pictures/LiRA.", phone.text(R.id.status))
        phone.app.scripted = FakeBackend { throw OutOfMemoryError() }
        phone.click(R.id.draw)
        phone.waitForError()
        assertPandaIsThere()
        phone.click(R.id.save)
        assertEquals("code: out_of_memory", phone.text(R.id.code))
        assertEquals("Saved to Pictures/LiRA.", phone.text(R.id.status))
        for ((values, file) in gallery.pictures.also { assertEquals(2, it.size) }) {
            assertEquals("lira-7.png", values.getAsString(MediaStore.MediaColumns.DISPLAY_NAME))
            assertArrayEquals(phone.journal.picture.readBytes(), file.readBytes())
        }
    }

    @Test
    fun `a rotation keeps what was said`() {
        phone.draw()
        phone.waitForPicture()
        phone.click(R.id.save)
        phone.controller.recreate()
        assertTrue(phone.text(R.id.status).endsWith("Saved to Pictures/LiRA."))
        phone.app.importer.begin { Source(emptyMap()) }
        phone.waitForError()
        phone.controller.recreate()
        assertEquals("code: manifest_missing", phone.text(R.id.code))
    }

    @Test
    fun `of a pasted book the beginning stays and what has no effect is said`() {
        phone.type(R.id.prompt, "apple ".repeat(80_000))
        assertEquals(20_000, phone.view<EditText>(R.id.prompt).length())
        phone.click(R.id.draw)
        waitUntil("the error is there") { phone.text(R.id.sentence).startsWith("The prompt is too long") }
        phone.click(R.id.remedy)
        phone.waitForPicture()
    }
}
