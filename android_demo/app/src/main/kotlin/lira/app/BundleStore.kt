package lira.app

import java.io.File
import java.io.IOException
import java.io.InputStream
import lira.core.Bundle
import lira.core.DamagedBundle
import lira.core.Interface
import lira.core.LiRAException
import lira.core.Manifest
import lira.core.ManifestFile
import lira.core.Tokenizer

/** A folder that a bundle comes from: names relative to it, and what opens one. */
class Source(val files: Map<String, () -> InputStream>)

/** The one bundle of this app. A new one is written beside it, checked, and then takes its place. */
class BundleStore(private val parent: File) {
    val folder = File(parent, "bundle")
    private val part = File(parent, "bundle.part")
    private val old = File(parent, "bundle.old")

    /** Ends a swap that was cut short: both bundles are whole, and one of them is in place. Before anything else, and once. */
    fun mend() {
        if (!folder.exists() && old.exists()) old.renameTo(folder)
        old.deleteRecursively()
        part.deleteRecursively()
    }

    /** The bundle, null where there is none. Looks at sizes, not at SHA-256. Throws [LiRAException]. */
    fun open(): Bundle? = if (folder.exists()) Bundle.open(folder, hashes = false) else null

    /**
     * Copies a bundle in, checks every byte of it as lira-verify does, and that it can be drawn with; until then the old one
     * stays.
     *
     * progress: bytes done and in all; what it throws stops the copy. Throws [LiRAException], IOException.
     */
    fun take(source: Source, progress: (Long, Long) -> Unit): Bundle {
        part.deleteRecursively()
        try {
            val manifest = manifest(source)
            manifest.requireRunnable()
            val names = manifest.files().map { it.path } + Manifest.NAME
            (source.files.keys - names - Manifest.SIGNATURE_NAME).firstOrNull()?.let {
                throw DamagedBundle("extra", "the folder holds $it, which the manifest does not name.")
            }
            val total = manifest.files().sumOf { it.bytes }
            if (total > part.usableSpace - SPARE_BYTES) throw IOException("No space left on device")
            var done = 0L
            for (entry in manifest.files()) {
                val open = source.files[entry.path] ?: throw DamagedBundle("missing", "the bundle lacks ${entry.path}.")
                copy(open, File(part, entry.path), entry.bytes) {
                    done += it
                    progress(done, total)
                }
            }
            checkDrawable(Bundle.open(part, strict = true))
            progress(total, total) // the last moment to cancel
            swap()
        } finally {
            part.deleteRecursively()
        }
        return Bundle.open(folder, hashes = false)
    }

    /** Finds what a drawing would find too late, when the old bundle is gone. */
    private fun checkDrawable(bundle: Bundle) {
        bundle.manifest.requireRunnable()
        Tokenizer.load(bundle.tokenizerFile)
        bundle.emptyPrompt()
        bundle.graph(Interface.DECODER).golden?.let(bundle::readTensor)
    }

    private fun manifest(source: Source): Manifest {
        if (!part.mkdirs()) throw IOException("the bundle's folder cannot be made")
        source.files[Manifest.NAME]?.let { copy(it, File(part, Manifest.NAME), MANIFEST_BYTES) {} }
        return ManifestFile.parse(ManifestFile.read(part))
    }

    /** Copies at most one byte more than [most]: a file that is too long is found without being read to its end. */
    private fun copy(open: () -> InputStream, goal: File, most: Long, copied: (Int) -> Unit) {
        goal.parentFile?.mkdirs()
        val chunk = ByteArray(CHUNK_BYTES)
        open().use { input ->
            goal.outputStream().use { output ->
                var left = most + 1
                while (left > 0) {
                    val size = input.read(chunk, 0, minOf(left, chunk.size.toLong()).toInt())
                    if (size < 0) break
                    output.write(chunk, 0, size)
                    left -= size
                    copied(size)
                }
                output.fd.sync()
            }
        }
    }

    private fun swap() {
        if (folder.exists()) old.deleteRecursively() // which may have failed the last time
        if (folder.exists() && !folder.renameTo(old)) throw IOException("the old bundle cannot be moved")
        if (!part.renameTo(folder)) {
            old.renameTo(folder)
            throw IOException("the new bundle cannot be moved")
        }
        old.deleteRecursively()
    }

    private companion object {
        const val CHUNK_BYTES = 1 shl 18
        const val MANIFEST_BYTES = 4L shl 20
        const val SPARE_BYTES = 32L shl 20
    }
}
