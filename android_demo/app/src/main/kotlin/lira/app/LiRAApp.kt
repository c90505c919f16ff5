package lira.app

import android.app.ActivityManager
import android.app.Application
import lira.core.Backend
import lira.core.OnnxBackend
import lira.core.SessionSettings

/** The application: what is shared by its screens, and what tests put something else in the place of. */
open class LiRAApp : Application() {
    val store: BundleStore by lazy { BundleStore(filesDir) }
    val importer: Importer by lazy { Importer(this, store) }

    override fun onCreate() {
        super.onCreate()
        // Once in the screen's process: what lies beside the bundle later is an import that goes on.
        if (getProcessName() == packageName) store.mend()
    }

    /** The engine that a drawing runs on. */
    open fun backend(settings: SessionSettings): Backend = OnnxBackend(settings)

    /** Bytes that the system would give now before it ends other processes, null where it does not say. */
    open fun availableBytes(): Long? {
        val info = ActivityManager.MemoryInfo()
        getSystemService(ActivityManager::class.java)!!.getMemoryInfo(info)
        return if (info.totalMem == 0L) null else maxOf(0, info.availMem - info.threshold)
    }
}
