package lira.app

import android.content.ComponentName
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.Canvas
import android.view.View
import android.widget.EditText
import android.widget.SeekBar
import android.widget.TextView
import java.io.File
import java.util.concurrent.Semaphore
import lira.core.Backend
import lira.core.Tensor
import org.junit.Assert.assertTrue
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.android.controller.ServiceController

/** Of every drawing here. */
const val PROMPT = "a panda right of a pizza on a pink background"

/** A screen of this size in dp, as qualifiers of resources say it. */
const val PHONE = "w392dp-h820dp"

/** The screen and the drawing's service together, as the system would join them. */
class Phone {
    val app = RuntimeEnvironment.getApplication() as TestApp
    val journal = Journal(app.filesDir)
    private lateinit var service: ServiceController<DrawService>
    lateinit var controller: ActivityController<MainActivity>
        private set
    val activity: MainActivity get() = controller.get()

    private fun newService() = Robolectric.buildService(DrawService::class.java).create().also {
        val name = ComponentName(app, DrawService::class.java)
        shadowOf(app).setComponentNameAndServiceForBindService(name, it.get().onBind(Intent()))
    }

    fun open(): Phone = also {
        service = newService()
        controller = Robolectric.buildActivity(MainActivity::class.java).setup()
        settle()
    }

    /** The system ends the drawing's process, starts it anew for the screen's binding, and the screen binds again. */
    fun killDrawing() {
        service = newService()
        controller.pause().stop().start().resume()
        settle()
    }

    /** Hands what the screen starts to the service; a binding, which has no action, is among it. */
    private fun deliver() {
        generateSequence { shadowOf(app).nextStartedService }.filter { it.action != null }
            .forEach { service.get().onStartCommand(it, 0, 1) }
        settle()
    }

    fun settle() = frame()

    fun click(id: Int) {
        view<View>(id).performClick()
        settle()
        deliver()
    }

    fun type(id: Int, text: String) = view<EditText>(id).setText(text)

    fun text(id: Int): String = view<TextView>(id).text.toString()

    fun isVisible(id: Int): Boolean = view<View>(id).isShown

    fun <T : View> view(id: Int): T = activity.requireViewById(id)

    fun waitForPicture() = waitUntil("the picture is there; ${text(R.id.sentence)}") { isVisible(R.id.figures) }

    fun waitForError() = waitUntil("the error is there") { isVisible(R.id.error) }

    /** Asks for a drawing of [PROMPT] with seed 7. */
    fun draw(steps: Int = 20) {
        type(R.id.prompt, PROMPT)
        type(R.id.seed, "7")
        view<SeekBar>(R.id.steps).progress = steps - 1
        click(R.id.draw)
    }

    /** Makes [backend] wait before each step of the denoiser beyond the first [steps]. */
    fun halfway(steps: Int, backend: Backend = FakeBackend()): Semaphore {
        val gate = Semaphore(steps * 2)
        app.scripted = object : Backend by backend {
            override fun run(inputs: Map<String, Tensor>): Map<String, Tensor> {
                if ("timestep" in inputs) gate.acquire()
                return backend.run(inputs)
            }
        }
        return gate
    }

    /** The screen after a drawing by the real engine, which is drawn once and remembered. */
    fun drawn(): Phone = also {
        val (record, picture) = kept ?: drawOnce().also { kept = it }
        journal.write(record)
        journal.picture.writeBytes(picture)
        open()
        type(R.id.prompt, PROMPT)
        type(R.id.seed, "7")
        assertTrue(isVisible(R.id.keep))
    }

    private fun drawOnce(): Pair<Record, ByteArray> {
        open()
        draw(steps = 12)
        waitForPicture()
        controller.pause().stop().destroy()
        return journal.read() to journal.picture.readBytes()
    }

    /** Draws what is on the screen into `docs/` of the project, where that is asked for. */
    fun screenshot(name: String) {
        val folder = System.getProperty("lira.screenshots") ?: return
        val bitmap = picture()
        File(folder).mkdirs()
        File(folder, "$name.png").outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
    }

    /** What is on the screen. */
    fun picture(): Bitmap {
        settle()
        val root = activity.window.decorView
        val bitmap = Bitmap.createBitmap(root.width, root.height, Bitmap.Config.ARGB_8888)
        root.draw(Canvas(bitmap))
        return bitmap
    }

    private companion object {
        var kept: Pair<Record, ByteArray>? = null
    }
}
