package lira.core

import java.io.File
import java.util.PriorityQueue

/** A prompt's ids: [PROMPT_TOKENS][Interface.PROMPT_TOKENS] of them, start ... end, padded with the end token. */
class Tokens(val ids: IntArray, val content: List<Int>, val dropped: String) {
    /** Whether the prompt has a tail, [dropped], that has no effect. */
    val truncated: Boolean get() = dropped.isNotEmpty()
}

/** CLIP's byte-pair tokenizer, read from a bundle's `tokenizer.json`; see [Words] for what comes before the merges. */
class Tokenizer private constructor(private val table: MergeTable) {
    /**
     * Turns a prompt into ids. The empty prompt is allowed: it is the unconditional half of guidance.
     * Throws [BadInput] where it is no Unicode text.
     */
    fun encode(prompt: String): Tokens {
        if (hasLoneSurrogate(prompt)) throw BadInput("the prompt is not valid Unicode text.")
        val room = Interface.PROMPT_TOKENS - 2
        val content = ArrayList<Int>()
        var dropped = ""
        for (word in Words.of(prompt)) {
            for (token in tokensOf(word)) {
                if (content.size == room) {
                    dropped = prompt.substring(token.start)
                    break
                }
                content += token.id
            }
            if (dropped.isNotEmpty()) break
        }
        val ids = IntArray(Interface.PROMPT_TOKENS) { i ->
            if (i == 0) START_ID else content.getOrElse(i - 1) { END_ID }
        }
        return Tokens(ids, content, dropped)
    }

    private class Token(val id: Int, val start: Int)

    private fun tokensOf(word: Word): List<Token> {
        if (word.special != null) {
            return listOf(Token(if (word.special == START_TEXT) START_ID else END_ID, word.starts[0]))
        }
        val ids = ArrayList<Int>()
        val starts = ArrayList<Int>()
        for ((i, point) in word.points.withIndex()) {
            for (byte in String(Character.toChars(point)).toByteArray()) {
                ids += table.byteIds[byte.toInt() and 0xff]
                starts += word.starts[i]
            }
        }
        ids[ids.lastIndex] = table.wordEndIds[table.byteIds.indexOf(ids.last())]
        return merged(ids.toIntArray()).map { Token(it.id, starts[it.at]) }
    }

    private class Symbol(val at: Int, var id: Int, var before: Symbol?, var next: Symbol?, var alive: Boolean = true)

    private class Candidate(val rank: Int, val left: Symbol, val leftId: Int, val right: Symbol, val rightId: Int)

    /** Merges pair after pair, the lowest rank first and the leftmost of those; a queue, as a word may be the whole prompt. */
    private fun merged(ids: IntArray): List<Symbol> {
        val symbols = ids.mapIndexed { at, id -> Symbol(at, id, null, null) }
        symbols.zipWithNext { left, right ->
            left.next = right
            right.before = left
        }
        val queue = PriorityQueue<Candidate>(compareBy({ it.rank }, { it.left.at }))
        fun offer(left: Symbol?, right: Symbol?) {
            if (left == null || right == null) return
            val rank = table.rank(left.id, right.id)
            if (rank >= 0) queue += Candidate(rank, left, left.id, right, right.id)
        }
        symbols.forEach { offer(it, it.next) }
        while (true) {
            val best = queue.poll() ?: break
            val left = best.left
            val right = best.right
            if (!left.alive || !right.alive || left.id != best.leftId || right.id != best.rightId) continue
            left.id = table.result(best.rank)
            right.alive = false
            left.next = right.next
            right.next?.before = left
            offer(left.before, left)
            offer(left, left.next)
        }
        return symbols.filter { it.alive }
    }

    companion object {
        const val START_TEXT = "<|startoftext|>"
        const val END_TEXT = "<|endoftext|>"
        const val START_ID = 49406
        const val END_ID = 49407

        /** Reads a `tokenizer.json`. Throws [DamagedBundle] where it is not a CLIP tokenizer, IOException as the disk does. */
        fun load(file: File): Tokenizer = try {
            file.inputStream().use { Tokenizer(TokenizerFile(it).table()) }
        } catch (fault: JsonFault) {
            throw DamagedBundle("tokenizer_unreadable", "${file.name} is not a CLIP tokenizer: ${fault.message}.", fault)
        }

        private fun hasLoneSurrogate(text: String): Boolean =
            text.codePoints().anyMatch { it in 0xd800..0xdfff }
    }
}
