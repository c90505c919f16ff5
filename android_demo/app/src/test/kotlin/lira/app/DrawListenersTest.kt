package lira.app

import android.os.Binder
import android.os.Looper
import android.os.Message
import android.os.Messenger
import android.os.Parcel
import android.os.TransactionTooLargeException
import java.time.Duration
import org.junit.Assert.assertEquals
import org.junit.Test
import org.robolectric.Shadows.shadowOf

/** Who is told, and how often. */
class DrawListenersTest : WithDrawService() {
    @Test
    fun `a drawing whose process was killed is told as such by the next process`() {
        journal.write(Record(Status.RUNNING, wish, stage = "denoiser", step = 3, total = 6))
        service().listen()
        waitFor(Status.KILLED)
        assertEquals("denoiser" to wish, heard.last().stage to heard.last().wish)
        assertEquals(Status.KILLED, journal.read().status)
    }

    @Test
    fun `whoever left hears nothing more`() {
        app.scripted = FakeBackend()
        val service = service()
        service.listen().send(Message.obtain(null, DrawService.WHAT_LEAVE).apply { replyTo = inbox })
        frame()
        service.draw(wish)
        waitUntil("it is drawn") { journal.read().status == Status.DONE }
        assertEquals(listOf(Status.NONE), heard.map { it.status })
    }

    /** As a message does while those before it fill the room that the system gives. */
    @Test
    fun `who did not get a message is told the same later`() {
        var failures = 1
        val narrow = object : Binder() {
            override fun onTransact(code: Int, data: Parcel, reply: Parcel?, flags: Int): Boolean {
                if (failures-- > 0) throw TransactionTooLargeException()
                return inbox.binder.transact(code, data, reply, flags)
            }
        }
        journal.write(Record(Status.DONE, wish))
        service().listen(Messenger(narrow))
        waitFor(Status.DONE)
        assertEquals(-1, failures)
    }

    @Test
    fun `a service that is ended tells nobody again`() {
        var tries = 0
        val full = object : Binder() {
            override fun onTransact(code: Int, data: Parcel, reply: Parcel?, flags: Int): Boolean {
                tries++
                throw TransactionTooLargeException()
            }
        }
        val service = service()
        service.listen(Messenger(full))
        frame()
        service.destroy()
        shadowOf(Looper.getMainLooper()).idleFor(Duration.ofSeconds(1))
        assertEquals(1, tries)
    }
}
