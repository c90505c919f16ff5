package androidx.test.platform.app

import android.app.Instrumentation
import android.os.Bundle

/** What Robolectric itself uses of androidx.test:monitor, which Maven Central does not have; the Maven build's tests alone. */
object InstrumentationRegistry {
    private var instance: Instrumentation? = null

    @JvmStatic
    fun registerInstance(instrumentation: Instrumentation?, @Suppress("UNUSED_PARAMETER") arguments: Bundle?) {
        instance = instrumentation
    }

    @JvmStatic
    fun getInstrumentation(): Instrumentation = checkNotNull(instance)
}
