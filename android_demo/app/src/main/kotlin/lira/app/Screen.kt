package lira.app

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.drawable.BitmapDrawable
import android.view.View
import android.widget.Button
import android.widget.EditText
import android.widget.ImageView
import android.widget.ProgressBar
import android.widget.SeekBar
import android.widget.Switch
import android.widget.TextView
import lira.core.Bundle

/** The views of the one screen: shows a [UiState], and holds the controls' [Wish]. Knows no service and no file format. */
class Screen(private val root: View) {
    private val picture: ImageView = find(R.id.picture)
    private val placeholder: TextView = find(R.id.placeholder)
    private val bundleLine: TextView = find(R.id.bundle)
    private val status: TextView = find(R.id.status)
    private val progress: ProgressBar = find(R.id.progress)
    private val error: View = find(R.id.error)
    private val figures: TextView = find(R.id.figures)
    private val keep: View = find(R.id.keep)
    private val prompt: EditText = find(R.id.prompt)
    private val seed: EditText = find(R.id.seed)
    private val steps: SeekBar = find(R.id.steps)
    private val guidance: SeekBar = find(R.id.guidance)
    private val lowMemory: Switch = find(R.id.low_memory)
    private val sentences = Sentences(root.resources)

    val choose: Button = find(R.id.choose)
    val remedy: Button = find(R.id.remedy)
    val save: Button = find(R.id.save)
    val share: Button = find(R.id.share)
    val dice: Button = find(R.id.dice)
    val draw: Button = find(R.id.draw)
    val cancel: Button = find(R.id.cancel)

    init {
        label(steps) { show(R.id.steps_label, text(R.string.steps_label, it + 1)) }
        label(guidance) { show(R.id.guidance_label, text(R.string.guidance_label, decimal(it / GUIDANCE_PARTS))) }
    }

    /** The controls; null where the seed is no number of 64 bits. */
    fun wish(): Wish? {
        val number = seed.text.toString().ifEmpty { "0" }.toULongOrNull()?.toLong() ?: return null
        val scale = guidance.progress / GUIDANCE_PARTS
        return Wish(prompt.text.toString(), number, steps.progress + 1, scale, lowMemory.isChecked)
    }

    fun setWish(wish: Wish) {
        prompt.setText(wish.prompt)
        setSeed(wish.seed)
        steps.progress = wish.steps - 1
        guidance.progress = Math.round(wish.guidance * GUIDANCE_PARTS).toInt()
        setLowMemory(wish.lowMemory)
    }

    fun setSeed(value: Long) = seed.setText(value.toULong().toString())

    fun setLowMemory(value: Boolean) {
        lowMemory.isChecked = value
    }

    /** Says which bundle draws; null: none. */
    fun showBundle(bundle: Bundle?) {
        bundleLine.text = if (bundle == null) {
            text(R.string.no_bundle)
        } else {
            val size = bundle.manifest.files().sumOf { it.bytes } / 1_000_000
            text(R.string.bundle_line, bundle.manifest.preset, bundle.resolution, size)
        }
    }

    fun show(state: UiState) {
        val isBusy = state is UiState.Drawing || state is UiState.Importing
        error.isVisible = state is UiState.Failed
        progress.isVisible = isBusy
        cancel.isVisible = isBusy
        draw.isVisible = !isBusy
        choose.isEnabled = !isBusy
        keep.isVisible = state.picture != null
        figures.isVisible = state is UiState.Done
        when (state) {
            is UiState.Empty -> showEmpty(state)
            is UiState.Importing -> showImporting(state)
            is UiState.Drawing -> showDrawing(state)
            is UiState.Done -> showDone(state)
            is UiState.Failed -> showFailed(state)
        }
        status.isVisible = status.text.isNotEmpty()
    }

    private fun showEmpty(state: UiState.Empty) {
        showDrawn(state.picture)
        placeholder.text = text(if (state.hasBundle) R.string.placeholder_empty else R.string.placeholder_no_bundle)
        draw.isEnabled = state.hasBundle
        status.text = state.note
    }

    private fun showImporting(state: UiState.Importing) {
        status.text = text(R.string.importing, state.done / 1_000_000, state.total / 1_000_000)
        advance((state.done / KILO).toInt(), (state.total / KILO).toInt())
    }

    private fun showDrawing(state: UiState.Drawing) {
        showPicture(state.preview, text(R.string.preview_description, state.record.wish.prompt))
        placeholder.text = ""
        status.text = sentences.progress(state.record)
        advance(state.record.step, state.record.total)
    }

    private fun showDone(state: UiState.Done) {
        showDrawn(state.picture)
        draw.isEnabled = true
        status.text = sentences.lines(sentences.done(state.record), state.note)
        figures.text = sentences.figures(state.record)
    }

    private fun showFailed(state: UiState.Failed) {
        showDrawn(state.picture)
        draw.isEnabled = true
        status.text = state.note
        show(R.id.sentence, state.sentence)
        show(R.id.code, text(R.string.code, state.code))
        remedy.isVisible = state.remedy != null
        when (state.remedy) {
            Remedy.LOW_MEMORY -> remedy.setText(R.string.remedy_low_memory)
            Remedy.CUT -> remedy.setText(R.string.remedy_cut)
            Remedy.CHOOSE -> remedy.setText(R.string.remedy_choose)
            null -> Unit
        }
    }

    private fun showDrawn(drawn: Drawn?) {
        val bitmap = drawn?.let { BitmapFactory.decodeFile(it.file.path) }
        val description = if (bitmap == null) text(R.string.no_picture) else text(R.string.picture_description, drawn.prompt)
        showPicture(bitmap, description)
        placeholder.setText(R.string.no_picture)
    }

    private fun showPicture(bitmap: Bitmap?, description: String) {
        // A preview has few pixels: they are blended, not shown as squares.
        picture.setImageDrawable(bitmap?.let { BitmapDrawable(root.resources, it).apply { isFilterBitmap = true } })
        picture.contentDescription = description
        placeholder.isVisible = bitmap == null
    }

    private fun advance(done: Int, total: Int) {
        progress.isIndeterminate = total == 0
        progress.max = maxOf(total, 1)
        progress.progress = done
    }

    private fun label(bar: SeekBar, show: (Int) -> Unit) {
        show(bar.progress)
        bar.setOnSeekBarChangeListener(object : SeekBar.OnSeekBarChangeListener {
            override fun onProgressChanged(bar: SeekBar, progress: Int, fromUser: Boolean) = show(progress)

            override fun onStartTrackingTouch(bar: SeekBar) = Unit

            override fun onStopTrackingTouch(bar: SeekBar) = Unit
        })
    }

    private fun decimal(value: Double) = "%.1f".format(root.resources.configuration.locales[0], value)

    private fun show(id: Int, text: String) {
        find<TextView>(id).text = text
    }

    private fun text(id: Int, vararg values: Any): String = root.resources.getString(id, *values)

    private fun <T : View> find(id: Int): T = root.requireViewById(id)

    private var View.isVisible: Boolean
        get() = visibility == View.VISIBLE
        set(value) {
            visibility = if (value) View.VISIBLE else View.GONE
        }

    private companion object {
        /** Positions of the guidance's bar to 1. */
        const val GUIDANCE_PARTS = 2.0
        const val KILO = 1000
    }
}
