package lira.app

import android.graphics.Bitmap

/** What the user can do about an error with one tap. */
enum class Remedy { LOW_MEMORY, CUT, CHOOSE }

/** All that the screen can be; [MainActivity] makes one, [Screen] shows it. */
sealed class UiState {
    /** The last picture that was drawn, where it can be seen, saved and shared. */
    open val picture: Drawn? get() = null

    /** Nothing is said of a drawing; [note] is one sentence or "". */
    data class Empty(val hasBundle: Boolean, val note: String, override val picture: Drawn?) : UiState()

    /** A bundle is copied and checked; bytes. */
    data class Importing(val done: Long, val total: Long) : UiState()

    /** A drawing is on its way. */
    class Drawing(val record: Record, val preview: Bitmap?) : UiState()

    /** The last drawing's picture. */
    data class Done(override val picture: Drawn, val record: Record, val note: String) : UiState()

    /** One sentence, its code for reports, and what would help. */
    data class Failed(
        val sentence: String,
        val code: String,
        val remedy: Remedy?,
        val note: String = "",
        override val picture: Drawn? = null,
    ) : UiState()
}
