package lira.app

import android.content.Intent
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.os.Message
import android.os.Messenger
import org.junit.Before
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.android.controller.ServiceController

/** The drawing's service without a screen, and one who listens to it. */
@RunWith(RobolectricTestRunner::class)
abstract class WithDrawService {
    protected val app = RuntimeEnvironment.getApplication() as TestApp
    protected val journal = Journal(app.filesDir)
    protected val heard = ArrayList<Record>()
    protected val previews = ArrayList<Bundle>()
    protected val inbox = Messenger(
        Handler(Looper.getMainLooper()) { message ->
            heard += Record.of(message.data)
            if (message.data.containsKey(DrawService.PREVIEW)) previews += Bundle(message.data)
            true
        },
    )
    protected val wish = Wish("a red apple", seed = 7, steps = 6, guidance = 4.0)

    @Before
    fun bundle() {
        app.store.take(sourceOf(demoBundle())) { _, _ -> }
    }

    protected fun service(): ServiceController<DrawService> = Robolectric.buildService(DrawService::class.java).create()

    protected fun ServiceController<DrawService>.listen(to: Messenger = inbox): Messenger {
        val messenger = Messenger(get().onBind(Intent()))
        messenger.send(Message.obtain(null, DrawService.WHAT_LISTEN).apply { replyTo = to })
        return messenger
    }

    protected fun ServiceController<DrawService>.draw(wish: Wish) = also { get().onStartCommand(DrawService.intent(app, wish), 0, 1) }

    protected fun waitFor(status: Status) = waitUntil("$status; heard ${heard.lastOrNull()}") { heard.lastOrNull()?.status == status }
}
