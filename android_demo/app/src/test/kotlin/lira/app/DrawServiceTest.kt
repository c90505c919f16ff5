package lira.app

import android.app.Notification
import android.app.NotificationManager
import android.graphics.BitmapFactory
import java.util.concurrent.CountDownLatch
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowPowerManager

class DrawServiceTest : WithDrawService() {
    @Test
    fun `a drawing tells stages and steps with previews and leaves a picture and a journal`() {
        app.scripted = FakeBackend()
        val service = service().draw(wish)
        service.listen()
        waitFor(Status.DONE)
        assertEquals((1..6).toList(), heard.filter { it.stage == "denoiser" && it.total == 6 }.map { it.step }.distinct())
        assertEquals(listOf("text_encoder", "denoiser", "decoder"), heard.last().figures.map { it.stage })
        assertEquals("the first preview is of step 2", 2, Record.of(previews.first()).step)
        assertEquals("no preview comes with the picture", Status.RUNNING, Record.of(previews.last()).status)
        assertEquals(32 * 32, previews.last().getIntArray(DrawService.PREVIEW)!!.size)
        assertEquals(heard.last(), journal.read())
        assertEquals(256, BitmapFactory.decodeFile(journal.picture.path).width)
        assertTrue(shadowOf(service.get()).isStoppedBySelf)
        assertTrue(shadowOf(service.get()).isForegroundStopped)
    }

    @Test
    fun `low memory reaches the engine and shows previews all the same`() {
        app.scripted = FakeBackend()
        service().draw(wish.copy(lowMemory = true)).listen()
        waitFor(Status.DONE)
        assertTrue(app.settings!!.lowMemory)
        assertTrue(previews.isNotEmpty())
    }

    @Test
    fun `no memory says which stage before it is loaded`() {
        app.scripted = FakeBackend()
        app.available = 21_000_000 // the text encoder takes 20 MB, the denoiser 36
        service().draw(wish).listen()
        waitFor(Status.FAILED)
        assertEquals("out_of_memory" to "denoiser", heard.last().code to heard.last().stage)
        assertEquals(heard.last(), journal.read())
    }

    @Test
    fun `memory that runs out in a run says which stage`() {
        app.scripted = FakeBackend { if (it == "decoder.onnx") throw OutOfMemoryError() }
        service().draw(wish).listen()
        waitFor(Status.FAILED)
        assertEquals("out_of_memory" to "decoder", heard.last().code to heard.last().stage)
    }

    @Test
    fun `a cancelled drawing keeps the last picture`() {
        app.scripted = FakeBackend()
        service().draw(wish).listen()
        waitFor(Status.DONE)
        val before = journal.picture.readBytes()
        heard.clear()
        val reached = CountDownLatch(1)
        val go = CountDownLatch(1)
        app.scripted = FakeBackend {
            reached.countDown()
            go.await()
        }
        val service = service().draw(wish.copy(seed = 8)).also { it.listen() }
        reached.await()
        service.get().onStartCommand(DrawService.cancelIntent(app), 0, 2)
        waitUntil("the engine is told to stop") { (app.scripted as FakeBackend).stopped }
        go.countDown()
        waitFor(Status.CANCELLED)
        assertTrue(before.contentEquals(journal.picture.readBytes()))
        assertFalse(app.filesDir.resolve("picture.png.part").exists())
    }

    @Test
    fun `cancelled before it has an engine it does not begin`() {
        app.scripted = FakeBackend { error("it draws") }
        val go = CountDownLatch(1)
        app.onBackend = go::await
        val service = service().draw(wish).also { it.listen() }
        service.get().onStartCommand(DrawService.cancelIntent(app), 0, 2)
        go.countDown()
        waitFor(Status.CANCELLED)
    }

    @Test
    fun `the notification tells the step and cancels at one tap`() {
        val go = CountDownLatch(1)
        var runs = 0
        app.scripted = FakeBackend { if (it == "denoiser.onnx" && ++runs == 3) go.await() } // two runs a step
        val service = service().draw(wish)
        service.listen()
        waitUntil("a step is told") { (heard.lastOrNull()?.step ?: 0) == 1 }
        val shown = shadowOf(app.getSystemService(NotificationManager::class.java)).getNotification(Notifications.ID)
        val progress = listOf(Notification.EXTRA_PROGRESS, Notification.EXTRA_PROGRESS_MAX).map(shown.extras::getInt)
        assertEquals(listOf(1, 6), progress)
        assertEquals("Drawing: step 1 of 6", shown.extras.getString(Notification.EXTRA_TEXT))
        service.get().onStartCommand(shadowOf(shown.actions.single().actionIntent).savedIntent, 0, 2)
        go.countDown()
        waitFor(Status.CANCELLED)
    }

    @Test
    fun `the processor stays awake while it draws and no longer`() {
        val go = CountDownLatch(1)
        app.scripted = FakeBackend { go.await() }
        service().draw(wish).listen()
        val lock = ShadowPowerManager.getLatestWakeLock()
        assertTrue(lock.isHeld)
        go.countDown()
        waitFor(Status.DONE)
        assertFalse(lock.isHeld)
    }

    @Test
    fun `a service that is ended ends its drawing`() {
        val go = CountDownLatch(1)
        val fake = FakeBackend { go.await() }
        app.scripted = fake
        val service = service().draw(wish)
        waitUntil("it is loaded") { fake.isLoaded }
        service.destroy()
        assertTrue(fake.stopped)
        assertFalse(ShadowPowerManager.getLatestWakeLock().isHeld)
        go.countDown()
    }

    @Test
    fun `without room for its journal nothing is drawn`() {
        app.filesDir.resolve("drawing.properties.part/in-the-way").mkdirs()
        app.scripted = FakeBackend { error("it draws") }
        service().also { it.listen() }.draw(wish)
        waitFor(Status.FAILED)
        assertEquals("io_error" to wish, heard.last().code to heard.last().wish)
    }

    @Test
    fun `a journal that cannot be read is none`() {
        app.filesDir.resolve("drawing.properties").writeText("prompt=\\u00zz")
        assertEquals(Record(), journal.read())
    }

    @Test
    fun `a prompt of 10,000 characters is refused with what it would lose and then its beginning is drawn`() {
        app.scripted = FakeBackend()
        val long = wish.copy(prompt = "apple ".repeat(1_666) + "last", steps = 1)
        service().draw(long).listen()
        waitFor(Status.FAILED)
        assertEquals(ErrorCodes.TOO_LONG, heard.last().code)
        assertTrue(heard.last().dropped.endsWith("last"))
        assertEquals(long.prompt, journal.read().wish.prompt)
        service().draw(long.copy(cut = true)).listen()
        waitFor(Status.DONE)
    }

    @Test
    fun `a second wish does not disturb the first`() {
        val go = CountDownLatch(1)
        app.scripted = FakeBackend { go.await() }
        val service = service().draw(wish)
        service.draw(wish.copy(prompt = "another")).listen()
        go.countDown()
        waitFor(Status.DONE)
        assertEquals(wish, heard.last().wish)
    }

    @Test
    fun `the real engine draws the demo`() {
        service().draw(wish).listen()
        waitFor(Status.DONE)
        val picture = BitmapFactory.decodeFile(journal.picture.path)
        assertNotNull(picture)
        val colours = IntArray(256 * 256).also { picture.getPixels(it, 0, 256, 0, 0, 256, 256) }.toSet()
        assertTrue("${colours.size} colours", colours.size > 1_000)
    }
}
