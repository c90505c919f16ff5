package lira.app

import java.io.File
import lira.core.Backend
import lira.core.Bundle
import lira.core.DamagedBundle
import lira.core.Graph
import lira.core.Interface
import lira.core.Preview
import lira.core.TensorSpec
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner

/** A manifest without a contradiction, but not of the graphs that lie beside it. */
@RunWith(RobolectricTestRunner::class)
class ForgedBundleTest {
    private val phone = Phone()

    @Before
    fun bundle() {
        phone.app.store.take(sourceOf(demoBundle())) { _, _ -> }
    }

    @Test
    fun `a shape that no array holds is refused by the denoiser and costs nothing before`() {
        forgeSide(1L shl 20)
        assertNull(Preview.of(Bundle.open(phone.app.store.folder, hashes = false)))
        val golden = phone.app.store.folder.resolve("golden-decoder.f32")
        golden.writeBytes(ByteArray(golden.length().toInt()) { -1 }) // NaN: a preview that was asked for too early says so
        val engine = FakeBackend()
        phone.app.scripted = object : Backend by engine {
            override fun load(graph: Graph, folder: File) {
                if (graph.path == "denoiser.onnx") throw DamagedBundle("graph_refused", "the tensors are others.")
                engine.load(graph, folder)
            }
        }
        phone.open().draw()
        phone.waitForError()
        assertEquals("code: graph_refused", phone.text(R.id.code))
    }

    /** Makes the manifest say that latents are of [side]. */
    private fun forgeSide(side: Long) {
        val image = listOf(1, 3, 8 * side, 8 * side)
        val count = Interface.goldenCount(TensorSpec("image", image, "float32")).toInt()
        val folder = phone.app.store.folder
        val manifest = changedManifest(folder) { json ->
            json.put("resolutions", JSONArray(listOf(8 * side)))
            for (graph in json.records("components").drop(1).flatMap { it.records("graphs") }) {
                graph.put("resolution", 8 * side)
                for (tensor in graph.records("inputs") + graph.records("outputs")) {
                    if (tensor.getString("name") in listOf("latent", "velocity")) tensor.put("shape", JSONArray(listOf(1, 4, side, side)))
                    if (tensor.getString("name") == "image") tensor.put("shape", JSONArray(image))
                }
                val golden = graph.getJSONObject("golden")
                if ("decoder" in golden.getString("path")) {
                    golden.put("shape", JSONArray(listOf(count))).put("bytes", 4 * count)
                    folder.resolve(golden.getString("path")).writeBytes(ByteArray(4 * count))
                } else {
                    graph.put("golden", JSONObject.NULL)
                }
            }
        }
        folder.resolve("manifest.json").writeText(manifest)
    }
}
