package lira.core

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest
import java.util.Base64
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.Assume.assumeTrue

/** The vectors that every language is tested with (tests/golden), and the demo bundle where it was exported. */
object Golden {
    val folder = File(System.getProperty("lira.golden") ?: "../../tests/golden")
    val bundle = File(System.getProperty("lira.bundle") ?: "../../build/nano-onnx")

    fun read(name: String): JsonObject = Json.parseToJsonElement(File(folder, "$name.json").readText()).jsonObject

    /** Writes the small bundle of files.json, which nothing can run. */
    fun writeBase(folder: File): File {
        val base = read("files").getValue("base").jsonObject
        folder.resolve(Manifest.NAME).writeText(base.text("manifest"))
        for ((path, packed) in base.getValue("files").jsonObject) {
            val file = folder.resolve(path).also { it.parentFile.mkdirs() }
            file.writeBytes(Base64.getDecoder().decode(packed.jsonPrimitive.content))
        }
        return folder
    }

    /** The text of a case of manifests.json whose name begins so. */
    fun manifest(name: String): String =
        read("manifests").array("cases").map { it.jsonObject }.single { it.text("name").startsWith(name) }.text("text")

    /** A manifest's text with changes and a new checksum. */
    fun changed(manifest: String, vararg changes: Pair<String, String>): String {
        val old = Regex("\"checksum\": *\"([0-9a-f]{64})\"").findAll(manifest).last().groupValues[1]
        val zeros = "0".repeat(64)
        val open = changes.fold(manifest) { text, (from, to) -> text.replace(from, to).also { check(it != text) { from } } }
        val (before, after) = open.substringBeforeLast(old) to open.substringAfterLast(old)
        val digest = MessageDigest.getInstance("SHA-256").digest((before + zeros + after).toByteArray())
        return before + digest.joinToString("") { "%02x".format(it) } + after
    }

    /** The demo bundle; where it is absent the test is skipped and says so. */
    fun requireBundle(): File {
        val there = File(bundle, Manifest.NAME).isFile
        if (!there) println("SKIPPED: there is no bundle at $bundle; export one, or name it with -Dlira.bundle=DIR")
        assumeTrue("there is no bundle at $bundle", there)
        return bundle
    }
}

fun JsonObject.array(key: String): JsonArray = getValue(key).jsonArray

fun JsonObject.text(key: String): String = getValue(key).jsonPrimitive.content

fun JsonObject.textOrNull(key: String): String? = get(key)?.takeIf { it != JsonNull }?.jsonPrimitive?.content

fun JsonObject.real(key: String): Double = text(key).toDouble()

fun JsonElement.ints(): List<Int> = jsonArray.map { it.jsonPrimitive.content.toInt() }

fun JsonObject.floats(key: String): FloatArray {
    val buffer = ByteBuffer.wrap(Base64.getDecoder().decode(text(key))).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
    return FloatArray(buffer.remaining()).also(buffer::get)
}

/** Largest difference over the largest number. */
fun relativeError(found: FloatArray, expected: FloatArray): Double {
    require(found.size == expected.size) { "${found.size} numbers in place of ${expected.size}" }
    val largest = expected.maxOf { Math.abs(it) }
    return found.indices.maxOf { Math.abs(found[it].toDouble() - expected[it]) } / largest
}
