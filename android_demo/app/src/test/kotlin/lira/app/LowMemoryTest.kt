package lira.app

import android.widget.EditText
import android.widget.Switch
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class LowMemoryTest : WithPhone() {
    @Test
    fun `no memory says which stage and draws with low memory at one tap`() {
        phone.app.scripted = FakeBackend()
        phone.app.available = 25_000_000 // the denoiser takes 36 MB, with low memory 23
        phone.open()
        phone.draw()
        phone.waitForError()
        assertTrue(phone.text(R.id.sentence), phone.text(R.id.sentence).contains("“Drawing”"))
        assertEquals("code: out_of_memory", phone.text(R.id.code))
        phone.screenshot("error")
        phone.click(R.id.remedy)
        phone.waitForPicture()
        assertTrue(phone.app.settings!!.lowMemory && phone.view<Switch>(R.id.low_memory).isChecked)
    }

    @Test
    fun `a killed drawing leaves the screen and the prompt and draws with low memory at one tap`() {
        phone.halfway(steps = 2)
        phone.open()
        phone.draw()
        waitUntil("step 2") { phone.text(R.id.status).contains("step 2") }
        phone.killDrawing()
        phone.waitForError()
        assertTrue(phone.text(R.id.sentence), phone.text(R.id.sentence).startsWith("The system ended the drawing at “Drawing”"))
        assertEquals(PROMPT, phone.view<EditText>(R.id.prompt).text.toString())
        assertEquals("Try with low memory", phone.text(R.id.remedy))
        phone.app.scripted = FakeBackend()
        phone.click(R.id.remedy)
        phone.waitForPicture()
        assertTrue(phone.app.settings!!.lowMemory && phone.view<Switch>(R.id.low_memory).isChecked)
    }

    @Test
    fun `the beginning of a long prompt is still all that is drawn with low memory`() {
        phone.app.scripted = FakeBackend()
        phone.open()
        phone.type(R.id.prompt, "apple ".repeat(200))
        phone.click(R.id.draw)
        phone.waitForError()
        phone.app.available = 25_000_000
        phone.click(R.id.remedy)
        waitUntil("there is no memory") { phone.text(R.id.code) == "code: out_of_memory" }
        phone.click(R.id.remedy)
        phone.waitForPicture()
        assertTrue(phone.text(R.id.status).contains("This had no effect"))
    }

    @Test
    fun `where low memory was not enough it is not offered again`() {
        phone.app.scripted = FakeBackend()
        phone.app.available = 1_000_000
        phone.open()
        phone.view<Switch>(R.id.low_memory).isChecked = true
        phone.draw()
        phone.waitForError()
        assertTrue(phone.text(R.id.sentence), phone.text(R.id.sentence).contains("not even with low memory"))
        assertEquals("code: out_of_memory", phone.text(R.id.code))
        assertEquals("Choose another model", phone.text(R.id.remedy))
    }
}
