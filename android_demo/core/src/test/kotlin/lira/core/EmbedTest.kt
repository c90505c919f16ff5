package lira.core

import java.io.File
import lira.core.example.drawInto
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class EmbedTest {
    @get:Rule
    val temporary = TemporaryFolder()

    @Test
    fun `the page for integrators shows this code`() {
        val page = File(Golden.folder, "../../docs/apps.md").readText()
        val code = File("src/test/kotlin/lira/core/Embed.kt").readText().substringAfter("/** What docs").substringAfter("*/\n")
        assertTrue("docs/apps.md shows other code than Embed.kt", code.trim() in page)
    }

    @Test
    fun `it draws and says what is wrong`() {
        val said = ArrayList<String>()
        val goal = File(temporary.root, "picture.png")
        assertFalse(drawInto(temporary.root, "a red apple", goal, said::add))
        assertEquals("manifest_missing", said.single().substringBefore(":"))
        assertTrue(drawInto(Golden.requireBundle(), "a red apple", goal, said::add))
        assertTrue(goal.length() > 10_000 && "step 8 of 8" in said)
    }
}
