package lira.core

import java.util.Base64
import kotlinx.serialization.json.jsonObject
import org.junit.Assert.assertEquals
import org.junit.Test

class ManifestTest {
    @Test
    fun `codes are those of every language`() {
        val cases = Golden.read("manifests").array("cases").map { it.jsonObject }
        val wrong = cases.mapNotNull { case ->
            val data = case.textOrNull("text")?.toByteArray() ?: Base64.getDecoder().decode(case.text("text_b64"))
            val found = codeOf { ManifestFile.parse(data) }
            if (found == case.textOrNull("code")) null else "${case.text("name")}: $found in place of ${case.textOrNull("code")}"
        }
        assertEquals(emptyList<String>(), wrong)
    }
}

/** The code that [work] is refused with, null where it is not. */
fun codeOf(work: () -> Unit): String? = try {
    work()
    null
} catch (error: LiRAException) {
    error.code
}
