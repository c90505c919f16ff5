package lira.app

import android.graphics.Color
import android.graphics.Rect
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.annotation.Config

class ScreenTest : WithPhone() {
    @Test
    fun `empty`() {
        phone.open()
        assertTrue(phone.text(R.id.bundle).startsWith("nano"))
        assertFalse(phone.isVisible(R.id.progress))
        assertTrue(luminance() > 0.8)
        phone.screenshot("empty")
    }

    @Test
    @Config(qualifiers = "$PHONE-night-hdpi")
    fun `dark`() {
        phone.drawn().screenshot("dark")
        assertTrue(luminance() < 0.1)
    }

    /** Of the ground, in a corner; 0 is black. */
    private fun luminance() = phone.picture().let { Color.luminance(it.getPixel(1, it.height - 2)) }

    @Test
    @Config(fontScale = 1.6f)
    fun `a large font cuts no text`() {
        phone.drawn()
        for (id in listOf(R.id.status, R.id.figures, R.id.draw, R.id.save, R.id.share, R.id.choose, R.id.bundle)) {
            val view = phone.view<TextView>(id)
            val room = view.height - view.compoundPaddingTop - view.compoundPaddingBottom
            assertTrue(view.text.toString(), view.layout.height <= room)
        }
        phone.screenshot("large-font")
    }

    @Test
    @Config(qualifiers = "w820dp-h392dp-land-hdpi")
    fun `on its side controls lie beside the picture and what is said and done with it is on the screen`() {
        phone.drawn().screenshot("landscape")
        fun left(id: Int) = IntArray(2).also(phone.view<View>(id)::getLocationInWindow)[0]
        val picture = phone.view<View>(R.id.picture)
        assertTrue("the controls lie beside the picture", left(R.id.picture) + picture.width <= left(R.id.prompt))
        for (id in listOf(R.id.picture, R.id.status, R.id.save, R.id.share)) {
            val seen = Rect()
            val view = phone.view<View>(id)
            assertTrue("$view", view.getGlobalVisibleRect(seen) && seen.height() == view.height)
        }
    }

    @Test
    fun `every control says to a screen reader what it is`() {
        phone.open()
        fun check(view: View) {
            if (view is ViewGroup) (0 until view.childCount).forEach { check(view.getChildAt(it)) }
            if (!view.isClickable || !view.isShown || view is ViewGroup) return
            val text = (view as? TextView)?.let { it.text.isNotEmpty() || !it.hint.isNullOrEmpty() } ?: false
            assertTrue("$view", text || !view.contentDescription.isNullOrEmpty())
            assertTrue("$view is lower than 48 dp", view.height >= 48 * view.resources.displayMetrics.density - 1)
        }
        check(phone.activity.window.decorView)
        for (id in listOf(R.id.steps, R.id.guidance, R.id.picture, R.id.progress)) {
            assertFalse(phone.view<View>(id).contentDescription.isNullOrEmpty())
        }
    }
}
