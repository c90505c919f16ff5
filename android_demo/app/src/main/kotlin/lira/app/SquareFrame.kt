package lira.app

import android.content.Context
import android.util.AttributeSet
import android.widget.FrameLayout

/**
 * A frame as high as it is wide: pictures are square, and nothing moves when one arrives. It takes no more of the screen's
 * height than leaves what is said of the picture on the screen.
 */
class SquareFrame(context: Context, attributes: AttributeSet?) : FrameLayout(context, attributes) {
    override fun onMeasure(widthMeasureSpec: Int, heightMeasureSpec: Int) {
        val most = resources.getFraction(R.fraction.picture_height, resources.displayMetrics.heightPixels, 1).toInt()
        val side = MeasureSpec.makeMeasureSpec(minOf(MeasureSpec.getSize(widthMeasureSpec), most), MeasureSpec.EXACTLY)
        super.onMeasure(side, side)
    }
}
