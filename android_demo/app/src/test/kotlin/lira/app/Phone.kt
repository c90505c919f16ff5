package lira.app

import android.app.Activity
import android.content.ComponentName
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.Canvas
import android.view.View
import android.widget.EditText
import android.widget.TextView
import java.io.File
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.android.controller.ServiceController

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

    /** Draws what is on the screen into `docs/` of the project, where that is asked for. */
    fun screenshot(name: String) {
        val folder = System.getProperty("lira.screenshots") ?: return
        val bitmap = picture(activity)
        File(folder).mkdirs()
        File(folder, "$name.png").outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
    }

    private fun picture(activity: Activity): Bitmap {
        settle()
        val root = activity.window.decorView
        val bitmap = Bitmap.createBitmap(root.width, root.height, Bitmap.Config.ARGB_8888)
        root.draw(Canvas(bitmap))
        return bitmap
    }
}
