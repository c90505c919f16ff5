package lira.app

import android.graphics.Bitmap
import java.io.File

/** What the user can do about an error with one tap. */
enum class Remedy { LOW_MEMORY, CUT, CHOOSE }

/** All that the screen can be; [MainActivity] makes one, [Screen] shows it. */
sealed class UiState {
    /** Nothing was drawn yet, or nothing is said of it; [note] is one sentence or "". */
    data class Empty(val hasBundle: Boolean, val note: String = "") : UiState()

    /** A bundle is copied and checked; bytes. */
    data class Importing(val done: Long, val total: Long) : UiState()

    /** A drawing is on its way. */
    class Drawing(val record: Record, val preview: Bitmap?) : UiState()

    /** The last drawing's picture. */
    data class Done(val picture: File, val record: Record, val note: String = "") : UiState()

    /** One sentence, its code for reports, and what would help; [picture] is the last that was drawn. */
    data class Failed(val sentence: String, val code: String, val remedy: Remedy?, val picture: File?) : UiState()
}
