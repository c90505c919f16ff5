package lira.core

import java.io.IOException
import java.io.InputStream

/** The text is no JSON, or not the JSON that was asked for. */
class JsonFault(sentence: String) : IOException(sentence)

/**
 * Strict JSON (RFC 8259) pulled from a stream of UTF-8 value by value, so that a large file is never a tree of objects.
 *
 * Stricter than most: no byte order mark, no control character in a string, no lone surrogate, no number beyond float64.
 * Every method throws [JsonFault] for what it does not find.
 */
class JsonReader(stream: InputStream) {
    private val bytes = ByteSource(stream)
    private var depth = 0

    /** Reads an object and calls [field] with each key; [field] must read the value. */
    fun fields(field: (String) -> Unit) {
        nested('{', '}') {
            val key = text()
            expect(':')
            field(key)
        }
    }

    /** Reads an array and calls [element] before each value, which it must read. */
    fun elements(element: () -> Unit) = nested('[', ']', element)

    /** Reads a string. */
    fun string(): String = text()

    /** Reads a number without point or exponent; what does not fit into 64 bits becomes the nearest that does. */
    fun integer(): Long {
        val number = number()
        if (number.any { it in ".eE" }) throw JsonFault("expected a whole number, got $number")
        if (number.length > MAX_DIGITS) throw JsonFault("a number has more than $MAX_DIGITS digits")
        return number.toLongOrNull() ?: if (number[0] == '-') Long.MIN_VALUE else Long.MAX_VALUE
    }

    /** Reads any finite number. */
    fun real(): Double {
        val value = number().toDouble()
        if (value.isInfinite()) throw JsonFault("a number is out of range")
        return value
    }

    /** Reads true or false. */
    fun boolean(): Boolean = when (peek()) {
        't' -> true.also { word("true") }
        'f' -> false.also { word("false") }
        else -> throw JsonFault("expected true or false")
    }

    /** Whether null comes next; reads it if so. */
    fun isNull(): Boolean = (peek() == 'n').also { if (it) word("null") }

    /** Whether a string comes next. */
    fun isString(): Boolean = peek() == '"'

    /** Reads any value and forgets it. */
    fun skip() {
        when (peek()) {
            '{' -> fields { skip() }
            '[' -> elements { skip() }
            '"' -> text(keep = false)
            't', 'f' -> boolean()
            'n' -> word("null")
            else -> number()
        }
    }

    /** Reads any value: a map, a list, a string, a Double, a Boolean or null. */
    fun value(): Any? = when (peek()) {
        '{' -> HashMap<String, Any?>().also { map -> fields { map[it] = value() } }
        '[' -> ArrayList<Any?>().also { list -> elements { list += value() } }
        '"' -> text()
        't', 'f' -> boolean()
        'n' -> null.also { word("null") }
        else -> real()
    }

    /** Throws unless nothing but white space follows. */
    fun end() {
        if (peek() != null) throw JsonFault("something follows the end of the JSON")
    }

    private fun nested(open: Char, close: Char, element: () -> Unit) {
        expect(open)
        if (++depth > MAX_DEPTH) throw JsonFault("more than $MAX_DEPTH values lie in one another")
        if (peek() == close) {
            bytes.next()
        } else {
            while (true) {
                element()
                val next = peek()
                expect(if (next == close) close else ',')
                if (next == close) break
            }
        }
        depth--
    }

    private fun peek(): Char? {
        while (true) {
            val byte = bytes.peek()
            if (byte < 0) return null
            if (byte.toChar() !in " \t\n\r") return byte.toChar()
            bytes.next()
        }
    }

    private fun expect(wanted: Char) {
        if (peek() != wanted) throw JsonFault("expected '$wanted' at byte ${bytes.position}")
        bytes.next()
    }

    private fun word(wanted: String) {
        for (letter in wanted) {
            if (bytes.next() != letter.code) throw JsonFault("expected $wanted at byte ${bytes.position}")
        }
    }

    private fun number(): String {
        peek()
        val digits = StringBuilder()
        while (bytes.peek() >= 0 && bytes.peek().toChar() in NUMBER_LETTERS) digits.append(bytes.next().toChar())
        val number = digits.toString()
        if (!NUMBER.matches(number)) throw JsonFault("expected a number at byte ${bytes.position}")
        return number
    }

    private fun text(keep: Boolean = true): String {
        expect('"')
        val text = Utf8Builder(checked = keep)
        while (true) {
            val byte = bytes.next()
            when {
                byte < 0x20 -> throw JsonFault("a string does not end, or holds a control character")
                byte == '"'.code -> return text.finish()
                byte == '\\'.code -> text.codePoint(escaped())
                else -> text.byte(byte)
            }
        }
    }

    private fun escaped(): Int = when (val letter = bytes.next().toChar()) {
        '"', '\\', '/' -> letter.code
        'b' -> 0x08
        'f' -> 0x0c
        'n' -> 0x0a
        'r' -> 0x0d
        't' -> 0x09
        'u' -> surrogatesJoined(unit())
        else -> throw JsonFault("a string has an unknown escape")
    }

    private fun surrogatesJoined(first: Int): Int {
        if (first !in 0xd800..0xdfff) return first
        if (first < 0xdc00 && bytes.next() == '\\'.code && bytes.next() == 'u'.code) {
            val second = unit()
            if (second in 0xdc00..0xdfff) return Character.toCodePoint(first.toChar(), second.toChar())
        }
        throw JsonFault("a string holds half a surrogate pair")
    }

    private fun unit(): Int = (0 until 4).fold(0) { unit, _ ->
        val digit = Character.digit(bytes.next(), 16)
        if (digit < 0) throw JsonFault("a \\u escape needs four hexadecimal digits")
        unit * 16 + digit
    }

    private companion object {
        const val MAX_DEPTH = 500
        const val MAX_DIGITS = 4300
        const val NUMBER_LETTERS = "0123456789+-.eE"
        val NUMBER = Regex("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")
    }
}

/** Bytes of a stream one by one, read in blocks; -1 at its end. */
private class ByteSource(private val stream: InputStream) {
    private val block = ByteArray(1 shl 16)
    private var size = 0
    private var at = 0
    var position = 0L
        private set

    fun peek(): Int {
        if (at == size) {
            size = stream.read(block)
            at = 0
        }
        if (size <= 0) {
            size = 0
            return -1
        }
        return block[at].toInt() and 0xff
    }

    fun next(): Int {
        val byte = peek()
        if (byte >= 0) {
            at++
            position++
        }
        return byte
    }
}

/** Collects a string's bytes; [checked]: throw where they are no UTF-8. */
private class Utf8Builder(private val checked: Boolean) {
    private var bytes = ByteArray(64)
    private var size = 0

    fun byte(value: Int) {
        if (size == bytes.size) bytes = bytes.copyOf(2 * size)
        bytes[size++] = value.toByte()
    }

    fun codePoint(value: Int) = String(Character.toChars(value)).toByteArray().forEach { byte(it.toInt()) }

    fun finish(): String {
        if (!checked) return ""
        return try {
            bytes.decodeToString(0, size, throwOnInvalidSequence = true)
        } catch (fault: CharacterCodingException) {
            throw JsonFault("a string is no UTF-8: ${fault.message}")
        }
    }
}
