package lira.core

/**
 * A failure that the user can act on; the message is one sentence.
 *
 * [code]: stable, the same in every language (runtime/lira_runtime/codes.py).
 */
sealed class LiRAException(val code: String, sentence: String, cause: Throwable? = null) : Exception(sentence, cause)

/** The request cannot be served as asked. */
class BadInput(sentence: String, code: String = "bad_input") : LiRAException(code, sentence)

/** The bundle is whole, but not one that this engine can draw with. */
class NotRunnable(sentence: String) : LiRAException("bad_input", sentence)

/** Memory ran out, or would: [stage] is the component that did not fit, null where none had begun. */
class OutOfMemory(sentence: String, val stage: String? = null, cause: Throwable? = null) :
    LiRAException("out_of_memory", sentence, cause)

/** A graph returned values that are not finite. */
class NotFinite(sentence: String) : LiRAException("not_finite", sentence)

/** A bundle is incomplete, altered, or not written by LiRA. */
class DamagedBundle(code: String, sentence: String, cause: Throwable? = null) : LiRAException(code, sentence, cause)

/** The caller asked to stop. */
class Cancelled : LiRAException("interrupted", "the drawing was cancelled.")

/** The prompt has more tokens than the text encoder reads; [dropped] is the tail that would have no effect. */
class PromptTooLong(val dropped: String) :
    LiRAException("bad_input", "the prompt is longer than the 75 tokens that the text encoder reads; shorten it.")
