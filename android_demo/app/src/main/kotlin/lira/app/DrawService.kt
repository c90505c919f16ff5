package lira.app

import android.app.Service
import android.content.Context
import android.content.Intent
import android.content.pm.ServiceInfo
import android.os.Build
import android.os.Handler
import android.os.IBinder
import android.os.Looper
import android.os.Message
import android.os.Messenger
import android.os.PowerManager
import android.os.RemoteException
import lira.core.Picture

/**
 * Draws, in a process of its own: if the system ends it for want of memory, the screen stays, and whoever binds next is told.
 *
 * It is started with a [Wish] and bound for [Record]s. One drawing at a time; a wish that comes meanwhile is not taken.
 */
class DrawService : Service() {
    private val journal by lazy { Journal(filesDir) }
    private val notifications by lazy { Notifications(this) }
    private val main = Handler(Looper.getMainLooper())
    private val listeners = ArrayList<Messenger>()

    /** Tells again what somebody who lives did not get, as while their messages pile up; without what may be too large. */
    private val again = Runnable {
        preview = null
        tell(record)
    }
    private val inbox = Messenger(Handler(Looper.getMainLooper(), ::receive))
    private var record = Record()
    private var preview: Picture? = null
    private var drawing: DrawJob? = null
    private var wake: PowerManager.WakeLock? = null

    override fun onCreate() {
        super.onCreate()
        record = journal.read()
        if (record.status == Status.RUNNING) update(record.copy(status = Status.KILLED, code = "out_of_memory"))
    }

    override fun onBind(intent: Intent): IBinder = inbox.binder

    override fun onStartCommand(intent: Intent?, flags: Int, startId: Int): Int {
        goToForeground() // whoever starts a foreground service owes this, whatever comes of it
        when (intent?.action) {
            ACTION_DRAW -> begin(Record.of(intent.extras ?: android.os.Bundle()).wish)
            ACTION_CANCEL -> drawing?.cancel()
        }
        if (drawing == null) finish()
        return START_NOT_STICKY // a drawing that was killed for want of memory would be killed again
    }

    override fun onDestroy() {
        drawing?.cancel()
        main.removeCallbacks(again)
        wake?.takeIf { it.isHeld }?.release()
        super.onDestroy()
    }

    private fun begin(wish: Wish) {
        if (drawing != null) return
        preview = null
        if (!update(Record(Status.RUNNING, wish))) return
        wake = getSystemService(PowerManager::class.java)!!.newWakeLock(PowerManager.PARTIAL_WAKE_LOCK, "lira:draw")
            .apply { acquire(LONGEST_MS) }
        drawing = DrawJob(application as LiRAApp, journal, wish) { next, picture -> main.post { heard(next, picture) } }
            .also { it.start() }
    }

    private fun heard(next: Record, picture: Picture?) {
        if (picture != null) preview = picture
        val step = next.status == Status.RUNNING && next.stage == record.stage
        if (step) tell(next) else update(next)
        if (next.status == Status.RUNNING) {
            notifications.show(next)
        } else {
            drawing = null
            finish()
        }
    }

    /** Writes the journal, and tells; a step alone is told. False where there is no room for the journal. */
    private fun update(next: Record): Boolean {
        val failed = ErrorCodes.of { journal.write(next) }
        tell(if (failed == null) next else next.copy(status = Status.FAILED, code = failed))
        return failed == null
    }

    private fun tell(next: Record) {
        record = next
        main.removeCallbacks(again)
        listeners.removeAll { !it.binder.isBinderAlive }
        listeners.forEach(::send)
    }

    private fun send(to: Messenger) {
        val data = record.toBundle()
        preview?.takeIf { record.status == Status.RUNNING }?.let {
            data.putIntArray(PREVIEW, it.argb())
            data.putInt(PREVIEW_WIDTH, it.width)
        }
        try {
            to.send(Message.obtain(null, WHAT_RECORD).apply { this.data = data })
        } catch (failed: RemoteException) {
            main.postDelayed(again, AGAIN_MS)
        }
    }

    private fun receive(message: Message): Boolean {
        when (message.what) {
            WHAT_LISTEN -> send(message.replyTo.also(listeners::add))
            WHAT_LEAVE -> listeners.remove(message.replyTo)
        }
        return true
    }

    private fun goToForeground() {
        val notification = notifications.of(record)
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.UPSIDE_DOWN_CAKE) {
            startForeground(Notifications.ID, notification, ServiceInfo.FOREGROUND_SERVICE_TYPE_SPECIAL_USE)
        } else {
            startForeground(Notifications.ID, notification)
        }
    }

    private fun finish() {
        wake?.takeIf { it.isHeld }?.release()
        stopForeground(STOP_FOREGROUND_REMOVE)
        stopSelf()
    }

    companion object {
        const val ACTION_DRAW = "lira.app.DRAW"
        const val ACTION_CANCEL = "lira.app.CANCEL"
        const val WHAT_LISTEN = 1
        const val WHAT_LEAVE = 2
        const val WHAT_RECORD = 3
        const val PREVIEW = "preview"
        const val PREVIEW_WIDTH = "preview_width"
        private const val AGAIN_MS = 200L
        private const val LONGEST_MS = 60L * 60 * 1000

        /** What cancels a drawing: no message, since it must not overtake what starts one. */
        fun cancelIntent(context: Context): Intent = Intent(context, DrawService::class.java).setAction(ACTION_CANCEL)

        /** What starts a drawing. */
        fun intent(context: Context, wish: Wish): Intent =
            Intent(context, DrawService::class.java).setAction(ACTION_DRAW).putExtras(Record(wish = wish).toBundle())
    }
}
