package lira.core

/** One file of a bundle; [path] is relative to it, with forward slashes. */
open class FileEntry(val path: String, val bytes: Long, val sha256: String)

/** A tensor as raw little-endian float32 in C order. */
class TensorFile(path: String, bytes: Long, sha256: String, val shape: List<Long>) : FileEntry(path, bytes, sha256)

/** A named input or output with its fixed shape. */
data class TensorSpec(val name: String, val shape: List<Long>, val dtype: String)

/** Memory of one graph's stage in bytes, null where the exporter does not know it; parts of the prediction, and measured. */
class MemoryFigures(
    val predicted: Long?,
    val weights: Long?,
    val activations: Long?,
    val runtime: Long?,
    val measured: Long?,
)

/** What to open for one size of picture; [resolution] is null where the component knows no picture. */
class Graph(
    val path: String,
    val resolution: Long?,
    val inputs: List<TensorSpec>,
    val outputs: List<TensorSpec>,
    val memory: MemoryFigures?,
    val golden: TensorFile?,
)

/** What was measured against the eager model in dB, what was needed, and whether that was reached. */
class Measured(val db: Double, val thresholdDb: Double, val passed: Boolean)

/** One network: its graphs, and the files that they share. */
class Component(
    val name: String,
    val graphs: List<Graph>,
    val files: List<FileEntry>,
    val recipe: String,
    val parity: Measured,
)

/** The latent kind: [scale] image px a latent px. */
class Latent(val name: String, val channels: Long, val scale: Long)

/** What a request that names nothing gets. */
class SamplerDefaults(val method: Method, val steps: Int, val shift: Double, val guidance: Double)

/** A bundle's manifest as far as it is used to run it; read and checked by [ManifestFile]. */
class Manifest(
    val target: String,
    val preset: String,
    val latent: Latent,
    val resolutions: List<Long>,
    val sampler: SamplerDefaults,
    val tokenizer: FileEntry,
    val components: List<Component>,
    val emptyPrompt: TensorFile?,
    val picture: Measured?,
    val weightsDigest: String,
    val partial: Boolean,
    val checksum: String?,
) {
    /** Every file that the bundle must hold besides the manifest. */
    fun files(): List<FileEntry> = buildList {
        add(tokenizer)
        for (component in components) {
            addAll(component.files)
            addAll(component.graphs.mapNotNull { it.golden })
        }
        emptyPrompt?.let(::add)
    }

    /** A component's entry. Throws [NotRunnable] where a partial bundle lacks it. */
    fun component(name: String): Component =
        components.firstOrNull { it.name == name } ?: throw NotRunnable("the bundle holds no $name.")

    /** Throws [NotRunnable] for a bundle for another engine, and for one that lacks a component. */
    fun requireRunnable() {
        if (target != "onnx") throw NotRunnable("the bundle is for $target; export one with --target onnx.")
        Interface.COMPONENTS.forEach(::component)
    }

    /** (1, C, H, W) of the latent for pictures of [resolution] px. */
    fun latentShape(resolution: Long): List<Long> {
        val side = resolution / latent.scale
        return listOf(1, latent.channels, side, side)
    }

    companion object {
        const val NAME = "manifest.json"
        const val SIGNATURE_NAME = "manifest.json.sig"
        const val FORMAT_VERSION = 5L
    }
}
