package lira.app

import android.os.Looper
import java.io.File
import java.security.MessageDigest
import java.time.Duration
import lira.core.Backend
import lira.core.Graph
import lira.core.SessionSettings
import lira.core.Tensor
import org.json.JSONObject
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.robolectric.Shadows.shadowOf

/** The application with a backend that a test writes; null: the real engine. */
class TestApp : LiRAApp() {
    var scripted: Backend? = null
    var available: Long? = null
    var settings: SessionSettings? = null

    /** Called before a drawing gets its engine. */
    var onBackend: () -> Unit = {}

    override fun backend(settings: SessionSettings): Backend {
        this.settings = settings
        onBackend()
        return scripted ?: super.backend(settings)
    }

    override fun availableBytes(): Long? = available

    /** What the app asks the system where no test says otherwise. */
    fun systemBytes(): Long? = super.availableBytes()
}

/** Answers with zeros; [onRun] is called with each graph's path before it. */
class FakeBackend(private val onRun: (String) -> Unit = {}) : Backend {
    @Volatile
    private var loaded: Graph? = null
    val isLoaded get() = loaded != null

    @Volatile
    var stopped = false
        private set

    override fun load(graph: Graph, folder: File) {
        check(loaded == null) { "two components are loaded together" }
        loaded = graph
    }

    override fun run(inputs: Map<String, Tensor>): Map<String, Tensor> {
        val graph = checkNotNull(loaded)
        onRun(graph.path)
        return graph.outputs.associate { spec ->
            val count = spec.shape.fold(1) { n, side -> n * side.toInt() }
            spec.name to if (spec.dtype == "int32") Tensor.Ints(IntArray(count)) else Tensor.Floats(FloatArray(count))
        }
    }

    override fun unload() {
        loaded = null
    }

    override fun stop() {
        stopped = true
    }
}

/** The demo bundle; where it is absent the test is skipped and says so. */
fun demoBundle(): File {
    val folder = File(System.getProperty("lira.bundle") ?: "../../build/nano-onnx")
    val there = folder.resolve("manifest.json").isFile
    if (!there) println("SKIPPED: there is no bundle at $folder; export one, or name it with -Dlira.bundle=DIR")
    assumeTrue("there is no bundle at $folder", there)
    return folder
}

/** A bundle's folder as a source, as a picker's document tree would be one. */
fun sourceOf(folder: File): Source = Source(
    folder.walk().filter { it.isFile }.associate { file -> file.relativeTo(folder).path to { file.inputStream() } },
)

/** The manifest of a bundle's folder with a change, and with the checksum that it then has. */
fun changedManifest(folder: File, change: (JSONObject) -> Unit): String {
    val manifest = JSONObject(folder.resolve("manifest.json").readText()).also(change).put("checksum", "0".repeat(64))
    val digest = MessageDigest.getInstance("SHA-256").digest(manifest.toString().toByteArray())
    return manifest.put("checksum", digest.joinToString("") { "%02x".format(it) }).toString()
}

/** The records of a manifest's list. */
fun JSONObject.records(key: String): List<JSONObject> = getJSONArray(key).let { list -> List(list.length(), list::getJSONObject) }

/** Lets the main thread work for a frame: a frame that does not come holds up all messages behind it. */
fun frame() = shadowOf(Looper.getMainLooper()).idleFor(Duration.ofMillis(17))

/** Lets the main thread work until [happened]; fails after five minutes, which a drawing takes on no machine, however busy. */
fun waitUntil(what: String, happened: () -> Boolean) {
    val end = System.nanoTime() + 300_000_000_000
    while (!happened()) {
        assertTrue("waited in vain until $what", System.nanoTime() < end)
        frame()
        Thread.sleep(5)
    }
}
