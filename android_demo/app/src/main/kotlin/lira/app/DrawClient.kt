package lira.app

import android.content.ComponentName
import android.content.Context
import android.content.Intent
import android.content.ServiceConnection
import android.graphics.Bitmap
import android.os.Bundle
import android.os.Handler
import android.os.IBinder
import android.os.Looper
import android.os.Message
import android.os.Messenger
import android.os.RemoteException

/**
 * The screen's side of [DrawService]: hears each record from when it is bound. If the drawing's process dies, the system
 * starts it again for this binding, and its journal then says that the drawing was killed.
 */
class DrawClient(private val context: Context, private val heard: (Record, Bitmap?) -> Unit) : ServiceConnection {
    private val inbox = Messenger(Handler(Looper.getMainLooper(), ::receive))
    private var service: Messenger? = null

    fun bind() {
        context.bindService(Intent(context, DrawService::class.java), this, Context.BIND_AUTO_CREATE)
    }

    fun unbind() {
        send(DrawService.WHAT_LEAVE)
        context.unbindService(this)
        service = null
    }

    fun draw(wish: Wish) {
        context.startForegroundService(DrawService.intent(context, wish))
    }

    fun cancel() {
        context.startService(DrawService.cancelIntent(context))
    }

    override fun onServiceConnected(name: ComponentName, binder: IBinder) {
        service = Messenger(binder)
        send(DrawService.WHAT_LISTEN)
    }

    override fun onServiceDisconnected(name: ComponentName) {
        service = null
    }

    private fun send(what: Int) {
        try {
            service?.send(Message.obtain(null, what).apply { replyTo = inbox })
        } catch (gone: RemoteException) {
            service = null // it is bound again by itself
        }
    }

    private fun receive(message: Message): Boolean {
        if (message.what == DrawService.WHAT_RECORD) heard(Record.of(message.data), preview(message.data))
        return true
    }

    private fun preview(data: Bundle): Bitmap? {
        val pixels = data.getIntArray(DrawService.PREVIEW) ?: return null
        val width = data.getInt(DrawService.PREVIEW_WIDTH)
        return Bitmap.createBitmap(pixels, width, pixels.size / width, Bitmap.Config.ARGB_8888)
    }
}
