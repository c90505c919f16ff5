package lira.app

import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.PendingIntent
import android.content.Context
import android.content.Intent

/** The notification of a running drawing, with its progress and a way to cancel it. */
class Notifications(private val context: Context) {
    private val manager = context.getSystemService(NotificationManager::class.java)!!

    init {
        val name = context.getString(R.string.channel)
        manager.createNotificationChannel(NotificationChannel(CHANNEL, name, NotificationManager.IMPORTANCE_LOW))
    }

    fun show(record: Record) = manager.notify(ID, of(record))

    fun of(record: Record): Notification {
        val open = Intent(context, MainActivity::class.java)
        val cancel = DrawService.cancelIntent(context)
        return Notification.Builder(context, CHANNEL)
            .setSmallIcon(R.drawable.notification)
            .setContentTitle(context.getString(R.string.notification_title))
            .setContentText(Sentences(context.resources).progress(record))
            .setProgress(record.total, record.step, record.total == 0)
            .setContentIntent(PendingIntent.getActivity(context, 0, open, PendingIntent.FLAG_IMMUTABLE))
            .addAction(
                Notification.Action.Builder(
                    null,
                    context.getString(R.string.cancel),
                    PendingIntent.getService(context, 0, cancel, PendingIntent.FLAG_IMMUTABLE),
                ).build(),
            )
            .setOngoing(true)
            .build()
    }

    companion object {
        const val ID = 1
        private const val CHANNEL = "drawing"
    }
}
