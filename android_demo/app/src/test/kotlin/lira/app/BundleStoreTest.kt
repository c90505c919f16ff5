package lira.app

import java.io.File
import java.io.IOException
import java.io.InputStream
import java.security.MessageDigest
import lira.core.Cancelled
import lira.core.DamagedBundle
import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class BundleStoreTest {
    @get:Rule
    val temporary = TemporaryFolder()
    private lateinit var store: BundleStore
    private lateinit var good: Source

    @Before
    fun open() {
        good = sourceOf(demoBundle())
        store = BundleStore(temporary.root)
    }

    private fun with(name: String, bytes: (ByteArray) -> ByteArray) =
        Source(good.files + (name to { bytes(good.files.getValue(name)().readBytes()).inputStream() as InputStream }))

    private fun codeOf(source: Source): String = ErrorCodes.of(assertThrows(Exception::class.java) { store.take(source) { _, _ -> } })

    private fun assertWhole() {
        store.open()!!
        for ((name, open) in good.files) assertArrayEquals(open().readBytes(), File(store.folder, name).readBytes())
        assertEquals(listOf("bundle"), temporary.root.list()!!.toList())
    }

    @Test
    fun `a whole bundle is taken and tells its progress`() {
        assertNull(store.open())
        var last = 0L to 0L
        store.take(good) { done, total -> last = done to total }
        assertEquals(last.first, last.second)
        assertWhole()
        store.take(good) { _, _ -> } // and again, in the place of itself
        assertWhole()
    }

    @Test
    fun `a bad bundle is refused with its code and the old one stays`() {
        store.take(good) { _, _ -> }
        val flipped = with("denoiser.onnx.data") { it.also { bytes -> bytes[99] = (bytes[99] + 1).toByte() } }
        val newer = with("manifest.json") { String(it).replace("\"format_version\": 5", "\"format_version\": 6").toByteArray() }
        assertEquals("wrong_sha256", codeOf(flipped))
        assertEquals("wrong_size", codeOf(with("decoder.onnx") { it.copyOf(it.size - 1) }))
        assertEquals("wrong_size", codeOf(with("decoder.onnx") { it + 0 }))
        assertEquals("missing", codeOf(Source(good.files - "tokenizer.json")))
        assertEquals("extra", codeOf(Source(good.files + ("notes.txt" to { "".byteInputStream() as InputStream }))))
        assertEquals("manifest_version", codeOf(newer))
        assertEquals("manifest_missing", codeOf(Source(good.files - "manifest.json")))
        assertEquals("manifest_missing", codeOf(Source(emptyMap())))
        assertEquals("manifest_unreadable", codeOf(with("manifest.json") { "{".toByteArray() }))
        assertEquals("manifest_checksum", codeOf(with("manifest.json") { String(it).replace("\"demo\"", "\"seed\"").toByteArray() }))
        assertWhole()
    }

    private fun changed(change: (JSONObject) -> Unit) =
        with("manifest.json") { changedManifest(demoBundle(), change).toByteArray() }

    @Test
    fun `a whole bundle that cannot be drawn with is refused and the old one stays`() {
        store.take(good) { _, _ -> }
        assertEquals("not_runnable", codeOf(changed { it.put("target", "coreml") }))
        val partial = changed {
            it.put("partial", true).getJSONArray("components").remove(2)
        }
        assertEquals("not_runnable", codeOf(Source(partial.files.filterKeys { "decoder" !in it })))
        val noEmpty = changed { it.put("partial", true).put("empty_prompt", JSONObject.NULL) }
        assertEquals("not_runnable", codeOf(Source(noEmpty.files.filterKeys { "empty" !in it })))
        assertEquals("tokenizer_unreadable", codeOf(with("tokenizer.json") { "{}".toByteArray() }.rehashed("tokenizer.json")))
        for (name in listOf("empty_prompt.f32", "golden-decoder.f32")) {
            val nan = with(name) { bytes -> ByteArray(bytes.size) { -1 } }
            assertEquals(name, "tensor_not_finite", codeOf(nan.rehashed(name)))
        }
        val lost = changed { it.getJSONObject("trajectory").put("image_psnr_db", 20).put("passed", false) }
        assertEquals("parity_lost", codeOf(lost))
        assertWhole()
    }

    /** With what the manifest says of a file made true of its bytes. */
    private fun Source.rehashed(name: String): Source {
        val bytes = files.getValue(name)().readBytes()
        val digest = MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }
        val manifest = changedManifest(demoBundle()) { json ->
            val graphs = json.records("components").flatMap { it.records("graphs") }
            val entries = graphs.map { it.getJSONObject("golden") } + json.getJSONObject("tokenizer") + json.getJSONObject("empty_prompt")
            entries.single { it.getString("path") == name }.put("bytes", bytes.size).put("sha256", digest)
        }
        return Source(files + ("manifest.json" to { manifest.byteInputStream() as InputStream }))
    }

    @Test
    fun `a disk that fills up and a copy that is cancelled leave the old bundle and nothing beside it`() {
        store.take(good) { _, _ -> }
        val full = with("denoiser.onnx") { throw IOException("write failed: ENOSPC (No space left on device)") }
        assertEquals("disk_full", codeOf(full))
        assertThrows(Cancelled::class.java) { store.take(good) { done, _ -> if (done > 5_000_000) throw Cancelled() } }
        assertWhole()
    }

    @Test
    fun `a cancel while the copy is checked is in time`() {
        var cancelled = false
        val error = assertThrows(Cancelled::class.java) {
            store.take(good) { done, total -> if (cancelled) throw Cancelled() else cancelled = done == total }
        }
        assertEquals("interrupted", error.code)
        assertNull(store.open())
    }

    @Test
    fun `a bundle for another engine is refused before it is copied`() {
        val manifest = changed { it.put("target", "coreml") }.files.getValue("manifest.json")
        val others = good.files.mapValues { (name, _) -> { throw AssertionError("$name is read") } }
        assertEquals("not_runnable", codeOf(Source(others + ("manifest.json" to manifest))))
    }

    @Test
    fun `what is left of an older bundle is not in the way of a new one`() {
        store.take(good) { _, _ -> }
        File(temporary.root, "bundle.old/texts").mkdirs()
        store.take(good) { _, _ -> }
        assertWhole()
    }

    @Test
    fun `a process that ended in the middle of a swap leaves a bundle that is found`() {
        store.take(good) { _, _ -> }
        store.folder.renameTo(File(temporary.root, "bundle.old"))
        File(temporary.root, "bundle.part").mkdir()
        BundleStore(temporary.root).mend()
        assertWhole()
    }

    @Test
    fun `a process that ended after a swap leaves the new bundle alone`() {
        store.take(good) { _, _ -> }
        File(temporary.root, "bundle.old").mkdir()
        BundleStore(temporary.root).mend()
        assertWhole()
    }

    @Test
    fun `a file that does not end is left where it should have ended`() {
        var read = 0L
        val endless = object : InputStream() {
            override fun read() = throw AssertionError("byte by byte")

            override fun read(bytes: ByteArray, offset: Int, length: Int): Int {
                read += length
                return if (read > 100_000_000) throw IOException("asked for more") else length
            }
        }
        assertEquals("wrong_size", codeOf(Source(good.files + ("decoder.onnx" to { endless as InputStream }))))
        assertEquals(good.files.getValue("decoder.onnx")().readBytes().size + 1L, read)
    }

    @Test
    fun `a bundle larger than the disk is refused before it is copied`() {
        val large = with("manifest.json") { sealed(String(it).replaceFirst(Regex("\"bytes\": \\d+"), "\"bytes\": ${1L shl 60}")) }
        assertEquals("disk_full", codeOf(large))
    }

    /** The manifest with the checksum that it must have. */
    private fun sealed(text: String): ByteArray {
        val stored = Regex("\"checksum\": \"([0-9a-f]{64})\"").find(text)!!.groupValues[1]
        val zeros = text.replace(stored, "0".repeat(64)).toByteArray()
        val digest = MessageDigest.getInstance("SHA-256").digest(zeros).joinToString("") { "%02x".format(it) }
        return text.replace(stored, digest).toByteArray()
    }

    @Test
    fun `a bundle that was damaged in place is refused when it is opened`() {
        store.take(good) { _, _ -> }
        File(store.folder, "decoder.onnx").appendText("x")
        assertEquals("wrong_size", assertThrows(DamagedBundle::class.java) { store.open() }.code)
    }
}
