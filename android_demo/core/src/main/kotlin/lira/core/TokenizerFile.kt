package lira.core

import java.io.InputStream

/**
 * CLIP's merges by the pair of ids that they join: an open hash table over arrays, 2 MB in place of the 15 of maps of strings.
 *
 * [byteIds], [wordEndIds]: the id of each byte, inside a word and at its end.
 */
internal class MergeTable(val byteIds: IntArray, val wordEndIds: IntArray, pairs: LongArray, private val results: IntArray) {
    private val keys = LongArray(Integer.highestOneBit(pairs.size.coerceAtLeast(1)) * 4) { EMPTY }
    private val ranks = IntArray(keys.size)

    init {
        for ((rank, pair) in pairs.withIndex()) {
            val slot = slot(pair)
            if (keys[slot] == EMPTY) ranks[slot] = rank
            keys[slot] = pair
        }
    }

    /** Rank of joining two symbols, -1 where no merge does. */
    fun rank(left: Int, right: Int): Int {
        val slot = slot(pair(left, right))
        return if (keys[slot] == EMPTY) -1 else ranks[slot]
    }

    /** The id that the merge of a rank makes. */
    fun result(rank: Int): Int = results[rank]

    private fun slot(pair: Long): Int {
        val mixed = pair * -0x61c8864680b583eb
        var slot = (mixed ushr 40).toInt() and (keys.size - 1)
        while (keys[slot] != EMPTY && keys[slot] != pair) slot = (slot + 1) and (keys.size - 1)
        return slot
    }

    companion object {
        private const val EMPTY = -1L

        /** A pair of ids as one number. */
        fun pair(left: Int, right: Int): Long = (left.toLong() shl 32) or right.toLong()
    }
}

/** Reads the `tokenizers` library's JSON as far as CLIP's tokenizer needs it. Throws [JsonFault] for any other. */
internal class TokenizerFile(stream: InputStream) {
    private val reader = JsonReader(stream)
    private val vocabulary = HashMap<String, Int>(VOCABULARY_SIZE * 2)
    private var pairs = LongArray(VOCABULARY_SIZE)
    private var results = IntArray(VOCABULARY_SIZE)
    private var count = 0
    private var isBpe = false
    private var hasWordEnd = false
    private var normalizer: Any? = null
    private var splits: List<*>? = null

    fun table(): MergeTable {
        reader.fields { key ->
            when (key) {
                "model" -> reader.fields(::modelField)
                "normalizer" -> normalizer = reader.value()
                "pre_tokenizer" -> splits = (reader.value() as? Map<*, *>)?.get("pretokenizers") as? List<*>
                else -> reader.skip()
            }
        }
        reader.end()
        if (!isBpe) throw JsonFault("its model is not of byte pairs")
        if (!hasWordEnd || normalizer != NORMALIZER) throw JsonFault("it reads text otherwise")
        if (!isClipSplit()) throw JsonFault("it splits text otherwise")
        if (id(Tokenizer.START_TEXT) != Tokenizer.START_ID || id(Tokenizer.END_TEXT) != Tokenizer.END_ID) {
            throw JsonFault("its start and end tokens are elsewhere")
        }
        val symbols = byteSymbols()
        return MergeTable(
            IntArray(256) { id(symbols[it]) },
            IntArray(256) { id(symbols[it] + WORD_END) },
            pairs.copyOf(count),
            results.copyOf(count),
        )
    }

    private fun modelField(key: String) {
        when (key) {
            "type" -> isBpe = reader.string() == "BPE"
            "dropout", "continuing_subword_prefix" -> if (!reader.isNull()) throw JsonFault("it has a $key")
            "end_of_word_suffix" -> hasWordEnd = reader.value() == WORD_END
            "vocab" -> reader.fields { vocabulary[it] = reader.integer().coerceIn(-1, Int.MAX_VALUE.toLong()).toInt() }
            "merges" -> reader.elements(::merge)
            else -> reader.skip()
        }
    }

    /** A merge is a list of two symbols, or both in one string with a space between. */
    private fun merge() {
        val parts = ArrayList<String>(2)
        if (reader.isString()) parts += reader.string().split(' ') else reader.elements { parts += reader.string() }
        if (parts.size != 2) throw JsonFault("a merge does not join two symbols")
        if (count == pairs.size) {
            pairs = pairs.copyOf(2 * count)
            results = results.copyOf(2 * count)
        }
        pairs[count] = MergeTable.pair(id(parts[0]), id(parts[1]))
        results[count++] = id(parts[0] + parts[1])
    }

    private fun isClipSplit(): Boolean {
        val split = splits?.getOrNull(0) as? Map<*, *>
        val bytes = splits?.getOrNull(1) as? Map<*, *>
        return (split?.get("pattern") as? Map<*, *>)?.get("Regex") == SPLIT && bytes?.get("type") == "ByteLevel"
    }

    private fun id(symbol: String): Int = vocabulary[symbol]?.takeIf { it in 0..Tokenizer.END_ID }
        ?: throw JsonFault("its vocabulary lacks a symbol")

    private companion object {
        const val VOCABULARY_SIZE = 49_408
        const val WORD_END = "</w>"

        // What the file says of the steps of [Words] where it is CLIP's.
        const val SPLIT =
            """<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
        val NORMALIZER = mapOf(
            "type" to "Sequence",
            "normalizers" to listOf(
                mapOf("type" to "NFC"),
                mapOf("type" to "Replace", "pattern" to mapOf("Regex" to "\\s+"), "content" to " "),
                mapOf("type" to "Lowercase"),
            ),
        )

        /** The printable stand-in of each byte: itself where it is printable, else the next code point from 256 on. */
        fun byteSymbols(): Array<String> {
            val printable = (('!'..'~') + ('¡'..'¬') + ('®'..'ÿ')).map { it.code }.toSet()
            var next = 256
            return Array(256) { byte -> (if (byte in printable) byte else next++).toChar().toString() }
        }
    }
}
