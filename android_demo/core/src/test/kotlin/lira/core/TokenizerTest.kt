package lira.core

import kotlinx.serialization.json.jsonObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class TokenizerTest {
    @get:Rule
    val temporary = TemporaryFolder()
    private lateinit var tokenizer: Tokenizer

    @Before
    fun load() {
        tokenizer = Tokenizer.load(Golden.requireBundle().resolve("tokenizer.json"))
    }

    @Test
    fun `ids and what was dropped are those of every language`() {
        val wrong = Golden.read("tokens").array("prompts").map { it.jsonObject }.filter { case ->
            val tokens = tokenizer.encode(case.text("prompt"))
            val right = tokens.content == case.getValue("ids").ints() && tokens.dropped == case.text("dropped")
            if (!right) println("prompt ${case.text("prompt").toList().map { it.code.toString(16) }}: ${tokens.content}, ${tokens.dropped}; expected $case")
            !right
        }
        assertEquals(0, wrong.size)
    }

    @Test
    fun `ids are framed and padded`() {
        val ids = tokenizer.encode("").ids
        assertArrayEquals(IntArray(77) { if (it == 0) 49406 else 49407 }, ids)
        assertEquals(listOf(49406, 320, 736, 3055, 49407), tokenizer.encode("a red apple").ids.take(5))
    }

    @Test(timeout = 120_000)
    fun `one word of 10,000 characters is merged in time`() {
        assertTrue(tokenizer.encode("ab".repeat(5_000)).truncated)
        assertTrue(tokenizer.encode("\u0301".repeat(10_000)).truncated)
    }

    /** The 76th token is the mark's, or its second. As Python's tokenizer says. */
    @Test
    fun `what is dropped begins at a mark that a letter did not take`() {
        val marks = listOf("x\u0301" to 25, "a\u0301\u0316" to 25, "a\u0316\u0301" to 25, "\u1100\u1161\u0301" to 31)
        for ((unit, rest) in marks) {
            assertEquals(unit.takeLast(1) + unit.repeat(rest), tokenizer.encode("a " + unit.repeat(50)).dropped)
        }
    }

    @Test
    fun `a file that is not of CLIP is refused with a stable code`() {
        val good = Golden.requireBundle().resolve("tokenizer.json").readText()
        val file = temporary.newFile("tokenizer.json")
        val changes = listOf(
            "\"type\": \"BPE\"" to "\"type\": \"Unigram\"", "\"dropout\": null" to "\"dropout\": 0.1",
            "\"continuing_subword_prefix\": null" to "\"continuing_subword_prefix\": \"##\"",
            "\"<|endoftext|>\": 49407" to "\"<|endoftext|>\": 49406", "      \"!\": 0,\n" to "", "\"ll</w>\"\n      ]\n    ]" to "\"ll</w>\", \"x\"]]",
            "\"!\": 0," to "\"!\": -1,", "\"!\": 0," to "\"!\": 49408,", "\"!\": 0," to "\"!\": 4294967296,",
            "\"end_of_word_suffix\": \"</w>\"" to "\"end_of_word_suffix\": \"\"", "\"NFC\"" to "\"NFD\"",
            "\"Lowercase\"" to "\"Strip\"", "\"normalizer\"" to "\"decoder\"", "\\\\s+\"" to "\\\\s\"", "[\\\\p{N}]|" to "[\\\\p{N}]+|",
            "\"pre_tokenizer\"" to "\"decoder\"",
            "\"ByteLevel\",\n        \"add_prefix_space\": false" to "\"Whitespace\",\n        \"add_prefix_space\": false",
        )
        for ((old, new) in changes) {
            assertTrue(old, old in good)
            file.writeText(good.replace(old, new))
            assertEquals(new, "tokenizer_unreadable", codeOf { Tokenizer.load(file) })
        }
    }

    @Test
    fun `half a surrogate pair is bad input`() {
        assertEquals("bad_input", assertThrows(BadInput::class.java) { tokenizer.encode("a \ud800 b") }.code)
    }
}
