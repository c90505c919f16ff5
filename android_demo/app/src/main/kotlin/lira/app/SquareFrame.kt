package lira.app

import android.content.Context
import android.util.AttributeSet
import android.widget.FrameLayout

/** A frame as high as it is wide: pictures are square, and nothing moves when one arrives. */
class SquareFrame(context: Context, attributes: AttributeSet?) : FrameLayout(context, attributes) {
    override fun onMeasure(widthMeasureSpec: Int, heightMeasureSpec: Int) {
        val side = MeasureSpec.makeMeasureSpec(MeasureSpec.getSize(widthMeasureSpec), MeasureSpec.EXACTLY)
        super.onMeasure(side, side)
    }
}
