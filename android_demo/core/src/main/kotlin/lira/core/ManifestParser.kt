package lira.core

import java.io.InputStream

private const val SHA256 = "[0-9a-f]{64}"
private val DTYPES = setOf("float32", "float16", "int64", "int32", "int8", "uint8", "bool")

/** What a field's reader yields; the keys of an object, each read once, all known, the required ones there. */
private class Fields(private val reader: JsonReader) {
    private val known = HashMap<String, () -> Unit>()
    private val values = HashMap<String, Any?>()
    private val required = ArrayList<String>()

    fun field(name: String, read: () -> Any?) {
        required += name
        known[name] = { values[name] = read() }
    }

    fun optional(name: String, fallback: Any? = null, read: () -> Any?) {
        values[name] = fallback
        known[name] = { values[name] = read() }
    }

    fun nullable(name: String, read: () -> Any?) = optional(name) { if (reader.isNull()) null else read() }

    @Suppress("UNCHECKED_CAST")
    operator fun <T> get(name: String): T = values[name] as T

    fun read(): Fields = apply {
        reader.fields { key -> (known[key] ?: throw JsonFault("unknown field '$key'"))() }
        required.firstOrNull { it !in values }?.let { throw JsonFault("the field '$it' is missing") }
    }
}

/** Reads the records of a manifest, field by field, with the ranges that the schema gives (docs/manifest.schema.json). */
internal class ManifestParser(stream: InputStream) {
    private val reader = JsonReader(stream)

    /** The format version alone; every other field is only passed over. */
    fun version(): Long {
        var version: Long? = null
        reader.fields { key -> if (key == "format_version") version = reader.integer() else reader.skip() }
        reader.end()
        return version ?: throw JsonFault("the field 'format_version' is missing")
    }

    fun manifest(): Manifest {
        val fields = record {
            field("format_version") { integer(Manifest.FORMAT_VERSION, Manifest.FORMAT_VERSION) }
            field("target") { oneOf("onnx", "coreml", "tflite") }
            nullable("requires") { text() }
            field("preset") { text() }
            field("latent") { latent() }
            field("resolutions") { list(1) { integer(1) } }
            field("sampler") { sampler() }
            field("tokenizer") { file() }
            field("components") { list(1) { component() } }
            nullable("empty_prompt") { tensorFile() }
            nullable("trajectory") { trajectory() }
            field("tools") { reader.fields { reader.string() } }
            field("source") { source() }
            optional("weights") { oneOf("packed", "mapped", "streamed") }
            optional("partial", false) { reader.boolean() }
            nullable("checksum") { sha256() }
        }
        reader.end()
        return Manifest(
            fields["target"], fields["preset"], fields["latent"], fields["resolutions"], fields["sampler"],
            fields["tokenizer"], fields["components"], fields["empty_prompt"], fields["trajectory"], fields["source"],
            fields["partial"], fields["checksum"],
        )
    }

    private fun latent(): Latent {
        val fields = record {
            field("name") { text() }
            for (name in listOf("channels", "scale", "patch_size")) field(name) { integer(1) }
        }
        return Latent(fields["name"], fields["channels"], fields["scale"])
    }

    private fun sampler(): SamplerDefaults {
        val fields = record {
            field("method") { oneOf("dpm", "euler") }
            field("steps") { integer(1, Sampler.MAX_STEPS.toLong()) }
            field("shift") { real().also { if (it <= 0) throw JsonFault("a time shift is not positive") } }
            field("guidance") { real(0.0, Sampler.MAX_GUIDANCE) }
        }
        val method: String = fields["method"]
        val steps: Long = fields["steps"]
        return SamplerDefaults(Method.values().first { it.id == method }, steps.toInt(), fields["shift"], fields["guidance"])
    }

    private fun component(): Component {
        val fields = record {
            field("name") { oneOf("text_encoder", "denoiser", "decoder", "image_encoder") }
            field("graphs") { list(1) { graph() } }
            field("files") { list(1) { file() } }
            field("recipe") { text() }
            field("parity") { parity() }
            field("contents") { contents() }
            nullable("key") { sha256() }
        }
        return Component(fields["name"], fields["graphs"], fields["files"], fields["recipe"], fields["parity"])
    }

    private fun graph(): Graph {
        val fields = record {
            field("path") { path() }
            field("entry") { text() }
            nullable("resolution") { integer(1) }
            field("inputs") { list(1) { tensor() } }
            field("outputs") { list(1) { tensor() } }
            nullable("memory") { memory() }
            nullable("golden") { tensorFile() }
        }
        return Graph(
            fields["path"], fields["resolution"], fields["inputs"], fields["outputs"], fields["memory"], fields["golden"],
        )
    }

    private fun memory(): MemoryFigures {
        val names = listOf("predicted_bytes", "weights_bytes", "activations_bytes", "runtime_bytes", "measured_bytes")
        val fields = record { for (name in names) nullable(name) { integer(0) } }
        return MemoryFigures(fields[names[0]], fields[names[1]], fields[names[2]], fields[names[3]], fields[names[4]])
    }

    private fun tensor(): TensorSpec {
        val fields = record {
            field("name") { text() }
            field("shape") { list(0) { integer(1) } }
            field("dtype") { oneOf(*DTYPES.toTypedArray()) }
        }
        return TensorSpec(fields["name"], fields["shape"], fields["dtype"])
    }

    private fun file(): FileEntry {
        val fields = record { fileFields() }
        return FileEntry(fields["path"], fields["bytes"], fields["sha256"])
    }

    private fun tensorFile(): TensorFile {
        val fields = record {
            fileFields()
            field("shape") { list(0) { integer(1) } }
            field("dtype") { oneOf("float32") }
        }
        return TensorFile(fields["path"], fields["bytes"], fields["sha256"], fields["shape"])
    }

    private fun Fields.fileFields() {
        field("path") { path() }
        field("bytes") { integer(0) }
        field("sha256") { sha256() }
    }

    private fun parity(): Measured {
        val fields = record {
            nullable("float32_max_abs") { real(0.0) }
            for (name in listOf("psnr_db", "cosine", "threshold_db")) field(name) { real() }
            field("passed") { reader.boolean() }
        }
        return Measured(fields["psnr_db"], fields["threshold_db"], fields["passed"])
    }

    private fun contents() = record {
        for (name in listOf("ops", "products", "weight_bytes")) field(name) { reader.fields { integer(0) } }
        nullable("loaded_bytes") { integer(0) }
        optional("kept_float32") { list(0) { reader.string() } }
    }

    private fun trajectory(): Measured {
        val fields = record {
            field("prompt") { reader.string() }
            field("seed") { integer(0) }
            field("steps") { integer(1) }
            for (name in listOf("guidance", "image_psnr_db", "threshold_db")) field(name) { real() }
            field("drift_db") { list(0) { real() } }
            field("passed") { reader.boolean() }
        }
        return Measured(fields["image_psnr_db"], fields["threshold_db"], fields["passed"])
    }

    private fun source(): String {
        val fields = record {
            field("digest") { sha256() }
            field("weights") { oneOf("demo", "checkpoint", "seed") }
            nullable("seed") { reader.integer() }
        }
        return fields["digest"]
    }

    private fun record(declare: Fields.() -> Unit): Fields = Fields(reader).apply(declare).read()

    private fun <T> list(least: Int, read: () -> T): List<T> {
        val list = ArrayList<T>()
        reader.elements { list += read() }
        if (list.size < least) throw JsonFault("a list is empty")
        return list
    }

    private fun integer(least: Long, most: Long = Long.MAX_VALUE): Long =
        reader.integer().also { if (it !in least..most) throw JsonFault("$it is out of range") }

    private fun real(least: Double = -Double.MAX_VALUE, most: Double = Double.MAX_VALUE): Double =
        reader.real().also { if (it !in least..most) throw JsonFault("$it is out of range") }

    private fun text(): String = reader.string().also { if (it.isEmpty()) throw JsonFault("a text is empty") }

    private fun path(): String = text().also {
        if (it.codePointCount(0, it.length) > MAX_PATH) throw JsonFault("a path has more than $MAX_PATH characters")
    }

    private fun sha256(): String = reader.string().also {
        if (!Regex(SHA256).matches(it)) throw JsonFault("a SHA-256 is not 64 hexadecimal digits")
    }

    private fun oneOf(vararg allowed: String): String =
        reader.string().also { if (it !in allowed) throw JsonFault("'$it' is none of ${allowed.joinToString()}") }

    private companion object {
        const val MAX_PATH = 255
    }
}
