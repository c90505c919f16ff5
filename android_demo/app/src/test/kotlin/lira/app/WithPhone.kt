package lira.app

import org.junit.Before
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config

/** A phone of the usual size that holds the demo bundle. */
@RunWith(RobolectricTestRunner::class)
@Config(qualifiers = "$PHONE-hdpi")
abstract class WithPhone {
    protected val phone = Phone()

    @Before
    fun bundle() {
        phone.app.store.take(sourceOf(demoBundle())) { _, _ -> }
    }
}
