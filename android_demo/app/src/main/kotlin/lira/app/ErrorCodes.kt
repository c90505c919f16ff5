package lira.app

import android.system.ErrnoException
import android.system.OsConstants
import java.io.IOException
import lira.core.LiRAException

/** Stable codes (docs/commands.md) of what the system throws, and the app's own reasons beside them. */
object ErrorCodes {
    /** The prompt has more tokens than the model reads: `bad_input` with a remedy of its own. */
    const val TOO_LONG = "too_long"
    const val EMPTY_PROMPT = "empty_prompt"
    const val BAD_SEED = "bad_seed"
    private const val IO_ERROR = "io_error"

    /** The code that [work] fails with, null where it does not. */
    fun of(work: () -> Unit): String? = try {
        work()
        null
    } catch (error: LiRAException) {
        error.code
    } catch (error: IOException) {
        of(error)
    }

    /** The code of anything that was thrown. */
    fun of(error: Throwable): String {
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
