package lira.core

import java.io.File
import java.io.RandomAccessFile
import java.nio.file.Files
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonObject
import org.junit.Assert.assertEquals
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class FilesTest {
    @get:Rule
    val temporary = TemporaryFolder()
    private val golden = Golden.read("files")

    @Test
    fun `codes are those of every language`() {
        val wrong = golden.array("cases").map { it.jsonObject }.flatMap { case ->
            val bundle = Golden.writeBase(temporary.newFolder().resolve("bundle").also(File::mkdir))
            case.array("change").forEach { change(bundle, it.jsonObject) }
            val found = listOf(codeOf { Bundle.open(bundle, strict = true) }, codeOf { Bundle.open(bundle) })
            val expected = listOf(case.textOrNull("code"), case.textOrNull("open_code"))
            if (found == expected) emptyList() else listOf("${case.text("name")}: $found in place of $expected")
        }
        assertEquals(emptyList<String>(), wrong)
    }

    private fun change(bundle: File, change: JsonObject) {
        val file = bundle.resolve(change.text("path"))
        val offset = change.textOrNull("offset")?.toLong()
        when (val op = change.text("op")) {
            "delete" -> file.deleteRecursively()
            "truncate" -> RandomAccessFile(file, "rw").use { it.setLength(offset ?: (it.length() - 1)) }
            "flip" -> RandomAccessFile(file, "rw").use {
                val at = offset ?: 0
                it.seek(at)
                val byte = it.read()
                it.seek(at)
                it.write(byte xor 1)
            }
            "append" -> file.appendBytes(byteArrayOf(0))
            "write" -> file.writeText(change.text("text"))
            "add" -> file.also { it.parentFile.mkdirs() }.writeText("x")
            "link" -> {
                file.renameTo(file.resolveSibling(change.text("to")))
                Files.createSymbolicLink(file.toPath(), File(change.text("to")).toPath())
            }
            "directory" -> {
                file.deleteRecursively()
                file.mkdirs()
            }
            else -> throw AssertionError("unknown change $op")
        }
    }
}
