package lira.core

import java.io.File
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Files
import java.security.MessageDigest
import java.util.Locale

/** A checked bundle folder; [digest] is the SHA-256 of its manifest, and so stands for every file. */
class Bundle private constructor(val folder: File, val manifest: Manifest, val digest: String) {
    /** A component's graph for pictures of the bundle's first resolution. */
    fun graph(name: String): Graph = manifest.component(name).graphs.first()

    /** Side of a picture, px. */
    val resolution: Int get() = manifest.resolutions.first().toInt()

    val tokenizerFile: File get() = File(folder, manifest.tokenizer.path)

    /** Text states (1, 77, width) of the empty prompt. Throws [DamagedBundle] where they are not finite. */
    fun emptyPrompt(): FloatArray {
        val entry = manifest.emptyPrompt ?: throw NotRunnable("the bundle holds no text states of the empty prompt.")
        return readTensor(entry)
    }

    /** Reads a tensor's file. Throws [DamagedBundle] where a value is not finite. */
    fun readTensor(entry: TensorFile): FloatArray {
        val buffer = ByteBuffer.wrap(File(folder, entry.path).readBytes()).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        val values = FloatArray(buffer.remaining()).also(buffer::get)
        if (values.any { !it.isFinite() }) {
            throw DamagedBundle("tensor_not_finite", "${entry.path} holds values that are not finite numbers.")
        }
        return values
    }

    companion object {
        private const val CHUNK_BYTES = 1 shl 16

        /**
         * Opens a bundle after a look at its manifest and at every file's presence, size and SHA-256.
         *
         * hashes: false leaves out the SHA-256, for a bundle that was checked when it was imported and that nobody else
         * can write to. strict: also refuse, as lira-verify does, what the manifest does not name, and a model of which the
         * manifest itself says that it lost parity.
         * Throws [BadInput] where there is no such folder, [DamagedBundle] for anything wrong in it.
         */
        fun open(folder: File, hashes: Boolean = true, strict: Boolean = false): Bundle {
            if (!folder.isDirectory) throw BadInput("there is no bundle at $folder.", "no_bundle")
            val data = ManifestFile.read(folder)
            val manifest = ManifestFile.parse(data)
            for (entry in manifest.files()) checkFile(folder, entry, hashes)
            if (strict) {
                checkNothingElse(folder, manifest)
                checkStatedParity(manifest)
            }
            val digest = MessageDigest.getInstance("SHA-256").digest(data).toHex()
            return Bundle(folder, manifest, digest)
        }

        private fun checkFile(folder: File, entry: FileEntry, hashes: Boolean) {
            val path = entry.path
            val file = File(folder, path)
            val steps = generateSequence(File(path)) { it.parentFile }
            if (steps.any { Files.isSymbolicLink(File(folder, it.path).toPath()) }) {
                throw DamagedBundle("link", "$path is a link, or lies behind one, which may point outside of the bundle.")
            }
            if (!file.isFile) throw DamagedBundle("missing", "the bundle lacks the file $path.")
            if (file.length() != entry.bytes) {
                throw DamagedBundle(
                    "wrong_size",
                    "$path has ${file.length()} bytes, but its manifest says ${entry.bytes}.",
                )
            }
            if (hashes && sha256(file) != entry.sha256) {
                throw DamagedBundle(
                    "wrong_sha256",
                    "$path does not have the SHA-256 its manifest says: the file was altered.",
                )
            }
        }

        private fun sha256(file: File): String = try {
            val digest = MessageDigest.getInstance("SHA-256")
            val chunk = ByteArray(CHUNK_BYTES)
            file.inputStream().use { stream ->
                while (true) {
                    val size = stream.read(chunk)
                    if (size < 0) break
                    digest.update(chunk, 0, size)
                }
            }
            digest.digest().toHex()
        } catch (fault: IOException) {
            throw DamagedBundle("unreadable", "${file.name} cannot be read: ${fault.message}.", fault)
        }

        private fun checkNothingElse(folder: File, manifest: Manifest) {
            val files = manifest.files().map { it.path } + Manifest.NAME + Manifest.SIGNATURE_NAME
            val known = files.flatMap { generateSequence(File(it)) { step -> step.parentFile } }.map { it.path }.toSet()
            if (!isKnown(folder, "", known)) {
                throw DamagedBundle("extra", "the folder holds something that its manifest does not name.")
            }
        }

        private fun checkStatedParity(manifest: Manifest) {
            val all = manifest.components.map { it.name to it.parity } + listOfNotNull(manifest.picture?.let { "picture" to it })
            val (what, measured) = all.firstOrNull { (_, measured) -> !measured.passed } ?: return
            val numbers = "%.1f dB at export, %.1f dB were needed".format(Locale.ROOT, measured.db, measured.thresholdDb)
            throw DamagedBundle("parity_lost", "the $what lost parity: $numbers, as the manifest says.")
        }

        private fun isKnown(folder: File, prefix: String, known: Set<String>): Boolean {
            val inside = folder.listFiles() ?: throw DamagedBundle("unreadable", "a folder of the bundle cannot be read.")
            return inside.all {
                val path = prefix + it.name
                val isWhole = !it.isDirectory || (path != Manifest.SIGNATURE_NAME && isKnown(it, "$path/", known))
                path in known && isWhole
            }
        }
    }
}
