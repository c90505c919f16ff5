package lira.core

import java.text.Normalizer
import java.util.Locale

/**
 * A piece of a prompt that is merged by itself: its code points after normalization, and for each the index in the prompt of
 * the character that it came from. [special]: the text of a special token, which is no piece but one id.
 */
internal class Word(val points: IntArray, val starts: IntArray, val special: String? = null)

/**
 * Splits a prompt as CLIP does: special tokens first, then NFC, white space, lower case by code point, then
 * `<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+`.
 */
internal object Words {
    private val SPECIALS = listOf(Tokenizer.START_TEXT, Tokenizer.END_TEXT)
    private val CONTRACTIONS = listOf("'s", "'t", "'re", "'ve", "'m", "'ll", "'d").map(::pointsOf)
    private val SPECIAL_POINTS = SPECIALS.map(::pointsOf)
    private val MARK_END = pointsOf("|>").size

    /** The words one after the other, made as they are asked for: of a long prompt only the beginning is needed. */
    fun of(prompt: String): Sequence<Word> = sequence {
        var at = 0
        while (at < prompt.length) {
            val (next, special) = prompt.findAnyOf(SPECIALS, at) ?: (prompt.length to null)
            yieldAll(split(normalized(prompt, at, next)))
            if (special != null) yield(Word(IntArray(0), intArrayOf(next), special))
            at = next + (special?.length ?: 0)
        }
    }

    private class Text(val points: IntArray, val starts: IntArray)

    private fun normalized(prompt: String, from: Int, to: Int): Text {
        val points = ArrayList<Int>()
        val starts = ArrayList<Int>()
        for ((point, start) in composed(prompt, from, to)) {
            if (isSpace(point)) {
                points += ' '.code
                starts += start
                continue
            }
            // One by one: no rule that looks at neighbours, as of the final sigma, and none of a language.
            for (lower in pointsOf(String(Character.toChars(point)).lowercase(Locale.ROOT))) {
                points += lower
                starts += start
            }
        }
        return Text(points.toIntArray(), starts.toIntArray())
    }

    /** NFC: code points, each with the index of the character that it came from. */
    private fun composed(prompt: String, from: Int, to: Int): Sequence<Pair<Int, Int>> = sequence {
        var at = from
        while (at < to) {
            val end = segmentEnd(prompt, at, to)
            val source = pointsOf(prompt.substring(at, end))
            val result = pointsOf(Normalizer.normalize(prompt.substring(at, end), Normalizer.Form.NFC))
            val starts = source.runningFold(at) { start, point -> start + Character.charCount(point) }
            for ((i, point) in result.withIndex()) {
                // What was composed is the first; what follows it stands at the end of what it came from.
                val from1 = if (i == 0) 0 else (source.size - result.size + i).coerceIn(0, source.lastIndex)
                yield(point to starts[from1])
            }
            at = end
        }
    }

    /** A character with the marks and Hangul vowels and finals that may compose with it. */
    private fun segmentEnd(prompt: String, start: Int, to: Int): Int {
        var end = start + Character.charCount(prompt.codePointAt(start))
        while (end < to) {
            val next = prompt.codePointAt(end)
            if (!isMark(next) && next !in 0x1160..0x11ff) break
            end += Character.charCount(next)
        }
        return end
    }

    private fun split(text: Text): Sequence<Word> = sequence {
        var at = 0
        while (at < text.points.size) {
            if (isSpace(text.points[at])) {
                at++
                continue
            }
            val special = SPECIAL_POINTS.firstOrNull { text.startsWith(it, at) }
            if (special != null) {
                // In capitals it is no token: CLIP's second split takes it apart.
                yield(text.word(at, at + MARK_END))
                yield(text.word(at + MARK_END, at + special.size - MARK_END))
                yield(text.word(at + special.size - MARK_END, at + special.size))
                at += special.size
                continue
            }
            val end = wordEnd(text, at)
            yield(text.word(at, end))
            at = end
        }
    }

    private fun wordEnd(text: Text, at: Int): Int {
        CONTRACTIONS.firstOrNull { text.startsWith(it, at) }?.let { return at + it.size }
        val first = text.points[at]
        if (isNumber(first)) return at + 1
        val belongs: (Int) -> Boolean =
            if (Character.isLetter(first)) Character::isLetter else { p -> !isSpace(p) && !Character.isLetter(p) && !isNumber(p) }
        var end = at + 1
        while (end < text.points.size && belongs(text.points[end])) end++
        return end
    }

    private fun Text.word(from: Int, to: Int) = Word(points.copyOfRange(from, to), starts.copyOfRange(from, to))

    private fun Text.startsWith(part: IntArray, at: Int): Boolean =
        at + part.size <= points.size && part.indices.all { points[at + it] == part[it] }

    private fun pointsOf(text: String): IntArray = text.codePoints().toArray()

    private fun isMark(point: Int): Boolean = when (Character.getType(point).toByte()) {
        Character.NON_SPACING_MARK, Character.COMBINING_SPACING_MARK, Character.ENCLOSING_MARK -> true
        else -> false
    }

    private fun isNumber(point: Int): Boolean = when (Character.getType(point).toByte()) {
        Character.DECIMAL_DIGIT_NUMBER, Character.LETTER_NUMBER, Character.OTHER_NUMBER -> true
        else -> false
    }

    /** Unicode's White_Space, which no method of Java is. */
    private fun isSpace(point: Int): Boolean =
        point in 0x09..0x0d || point == 0x85 || when (Character.getType(point).toByte()) {
            Character.SPACE_SEPARATOR, Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR -> true
            else -> false
        }
}
