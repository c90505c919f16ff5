package lira.app

import android.system.ErrnoException
import android.system.OsConstants
import java.io.IOException
import lira.core.LiRAException
import lira.core.NotRunnable
import lira.core.PromptTooLong

/** Stable codes (docs/commands.md) of what the system throws, and the app's own reasons beside them. */
object ErrorCodes {
    /** The prompt has more tokens than the model reads: `bad_input` with a remedy of its own. */
    const val TOO_LONG = "too_long"
    const val EMPTY_PROMPT = "empty_prompt"
    const val BAD_SEED = "bad_seed"

    /** The bundle is for another engine, or lacks a part: `bad_input` that another bundle would help. */
    const val NOT_RUNNABLE = "not_runnable"

    /** No app of this device lets the user choose a folder. */
    const val NO_PICKER = "no_picker"

    /** Memory ran out while a bundle was checked: `out_of_memory`, but not of a drawing. */
    const val NO_MEMORY_TO_CHECK = "no_memory_to_check"
    private const val IO_ERROR = "io_error"

    /** The code that [work] fails with, null where it does not. */
    fun of(work: () -> Unit): String? = try {
        work()
        null
    } catch (error: LiRAException) {
        of(error)
    } catch (error: IOException) {
        of(error)
    }

    /** The code of anything that was thrown. */
    fun of(error: Throwable): String {
        if (error is NotRunnable) return NOT_RUNNABLE
        if (error is PromptTooLong) return TOO_LONG
        if (error is LiRAException) return error.code
        val causes = generateSequence(error) { it.cause }.take(5).toList()
        val full = causes.any { it is ErrnoException && it.errno in listOf(OsConstants.ENOSPC, OsConstants.EDQUOT) }
        return when {
            full || causes.any { it.message.orEmpty().contains("No space left") } -> "disk_full"
            error is IOException || error is SecurityException -> IO_ERROR
            else -> "internal"
        }
    }
}
