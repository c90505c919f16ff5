package lira.core

import java.io.ByteArrayInputStream
import java.io.File
import java.io.IOException
import java.math.BigInteger
import java.nio.file.Files
import java.security.MessageDigest

/** Reads `manifest.json` and refuses what lira-verify refuses, with the same codes (runtime/lira_runtime/manifest.py). */
object ManifestFile {
    private const val MAX_BYTES = 4L shl 20
    private val NO_CHECKSUM = "0".repeat(64).toByteArray()

    /** The bytes of a bundle's manifest. Throws [DamagedBundle] where there is none, a link, or something else. */
    fun read(bundle: File): ByteArray {
        val file = File(bundle, Manifest.NAME)
        if (Files.isSymbolicLink(file.toPath())) {
            throw DamagedBundle("link", "${Manifest.NAME} is a link, which may point outside of the bundle.")
        }
        if (!file.isFile) {
            throw DamagedBundle("manifest_missing", "there is no ${Manifest.NAME}, so it is not a complete bundle.")
        }
        if (file.length() > MAX_BYTES) throw unreadable("it is larger than $MAX_BYTES bytes", null)
        return file.readBytes()
    }

    /** Reads a manifest's bytes and compares them with their own checksum. Throws [DamagedBundle]. */
    fun parse(data: ByteArray): Manifest {
        val manifest = decode(data)
        if (manifest.checksum == null || manifest.checksum != checksum(data, manifest.checksum)) {
            throw DamagedBundle("manifest_checksum", "the manifest does not have the checksum that it says: it was altered.")
        }
        return manifest
    }

    private fun decode(data: ByteArray): Manifest {
        val manifest = try {
            val version = ManifestParser(ByteArrayInputStream(data)).version()
            if (version != Manifest.FORMAT_VERSION) throw otherVersion(version)
            ManifestParser(ByteArrayInputStream(data)).manifest()
        } catch (fault: IOException) {
            throw unreadable(fault.message, fault)
        }
        validate(manifest)
        return manifest
    }

    private fun otherVersion(version: Long): DamagedBundle {
        val hint = if (version < Manifest.FORMAT_VERSION) "export the bundle again" else "a newer LiRA wrote it"
        return DamagedBundle(
            "manifest_version",
            "the manifest has format version $version, but this app reads ${Manifest.FORMAT_VERSION}: $hint.",
        )
    }

    private fun unreadable(why: String?, cause: Throwable?) =
        DamagedBundle("manifest_unreadable", "the manifest cannot be read: $why.", cause)

    /** SHA-256 of a manifest whose last occurrence of [stored] counts as zeros. */
    private fun checksum(data: ByteArray, stored: String): String {
        val at = lastIndexOf(data, stored.toByteArray())
        val digest = MessageDigest.getInstance("SHA-256")
        if (at < 0) return ""
        digest.update(data, 0, at)
        digest.update(NO_CHECKSUM)
        digest.update(data, at + stored.length, data.size - at - stored.length)
        return digest.digest().toHex()
    }

    private fun lastIndexOf(data: ByteArray, part: ByteArray): Int =
        (data.size - part.size downTo 0).firstOrNull { at -> part.indices.all { data[at + it] == part[it] } } ?: -1

    private fun validate(manifest: Manifest) {
        manifest.files().forEach { checkRelative(it.path) }
        val paths = manifest.files().map { it.path.lowercase() } // many file systems know no case
        if (paths.toSet().size != paths.size || Manifest.NAME in paths || Manifest.SIGNATURE_NAME in paths) {
            throw inconsistent("the manifest lists one file twice, or two that differ by case alone.")
        }
        val folders = paths.flatMap { path -> generateSequence(File(path).parentFile) { it.parentFile } }.map { it.path }
        if (folders.any { it in paths || it == Manifest.NAME || it == Manifest.SIGNATURE_NAME }) {
            throw inconsistent("the manifest lists a file that another one lies in, as in a folder.")
        }
        val names = manifest.components.map { it.name }
        if (names.toSet().size != names.size) throw inconsistent("the manifest lists one component twice.")
        if (!manifest.partial && !names.containsAll(Interface.COMPONENTS)) {
            throw inconsistent("the manifest lacks a component and does not say that it is partial.")
        }
        if (manifest.resolutions.toSet().size != manifest.resolutions.size) {
            throw inconsistent("the manifest lists one resolution twice.")
        }
        manifest.resolutions.firstOrNull { it % manifest.latent.scale != 0L }?.let {
            throw inconsistent("$it px is not a multiple of the latent scale ${manifest.latent.scale}.")
        }
        val textWidth = textWidth(manifest)
        for (component in manifest.components) checkComponent(manifest, component, textWidth)
        checkEmptyPrompt(manifest, textWidth)
        for (measured in manifest.components.map { it.parity } + listOfNotNull(manifest.picture)) {
            if (measured.passed != (measured.db >= measured.thresholdDb)) {
                throw inconsistent("the manifest says of what was measured both that it passed and that it failed.")
            }
        }
    }

    private fun textWidth(manifest: Manifest): Long =
        manifest.components.flatMap { it.graphs }.flatMap { it.inputs + it.outputs }
            .firstOrNull { it.name == "text_states" && it.shape.isNotEmpty() }?.shape?.last() ?: 1

    private fun checkComponent(manifest: Manifest, component: Component, textWidth: Long) {
        val name = component.name
        val wanted = if (name == Interface.TEXT_ENCODER) listOf(null) else manifest.resolutions
        if (component.graphs.map { it.resolution } != wanted) {
            throw inconsistent("the graphs of $name are not those of the bundle's resolutions.")
        }
        for (graph in component.graphs) {
            if (component.files.none { it.path == graph.path || it.path.startsWith("${graph.path}/") }) {
                throw inconsistent("$name opens '${graph.path}', which is none of its files.")
            }
            val latent = manifest.latentShape(graph.resolution ?: manifest.resolutions.first())
            val tensors = Interface.tensors(name, latent, manifest.latent.scale, textWidth)
            if (graph.inputs to graph.outputs != tensors) {
                throw inconsistent("the tensors of $name are not those of a LiRA $name.")
            }
            val golden = graph.golden ?: continue
            val count = Interface.goldenCount(graph.outputs.first())
            if (golden.shape.map(BigInteger::valueOf) != listOf(count) || !isFloats(golden, count)) {
                throw inconsistent("the golden output of $name does not have the shape of a golden output.")
            }
        }
    }

    private fun checkEmptyPrompt(manifest: Manifest, textWidth: Long) {
        val empty = manifest.emptyPrompt
        if (empty == null) {
            if (!manifest.partial) throw inconsistent("the manifest lacks the text states of the empty prompt.")
            return
        }
        val shape = listOf(1L, Interface.PROMPT_TOKENS.toLong(), textWidth)
        if (empty.shape != shape || !isFloats(empty, Interface.count(shape))) {
            throw inconsistent("the text states of the empty prompt do not have the text encoder's shape.")
        }
    }

    private fun isFloats(file: TensorFile, count: BigInteger): Boolean =
        BigInteger.valueOf(file.bytes) == count * BigInteger.valueOf(4)

    private fun inconsistent(sentence: String) = DamagedBundle("manifest_inconsistent", sentence)

    private fun checkRelative(path: String) {
        val leaves = '\\' in path || ':' in path || path.split("/").any { it in listOf("", ".", "..") }
        val printable = path.all { it in ' '..'~' } // in ASCII all systems agree what is one name
        if (leaves || !printable) throw DamagedBundle("manifest_path", "the manifest names an unsafe path.")
    }
}

/** Lower-case hexadecimal digits. */
internal fun ByteArray.toHex(): String = joinToString("") { "%02x".format(it) }
