package lira.app

import android.os.Bundle
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.util.Properties
import lira.core.Png

/** How far a drawing has come. KILLED: its process ended without a word. */
enum class Status { NONE, RUNNING, DONE, CANCELLED, FAILED, KILLED }

/** What was asked for, as the controls have it; [seed] is unsigned. */
data class Wish(
    val prompt: String = "",
    val seed: Long = 0,
    val steps: Int = 20,
    val guidance: Double = 3.0,
    val lowMemory: Boolean = false,
    val cut: Boolean = false,
)

/** Seconds and most resident bytes of one stage. */
data class Figure(val stage: String, val seconds: Double, val bytes: Long)

/**
 * What is known of the last drawing: the same in the journal's file, which outlives every process, and in messages.
 *
 * stage: that runs, or that failed. dropped: a tail of the prompt that has no effect.
 */
data class Record(
    val status: Status = Status.NONE,
    val wish: Wish = Wish(),
    val stage: String = "",
    val step: Int = 0,
    val total: Int = 0,
    val code: String = "",
    val dropped: String = "",
    val figures: List<Figure> = emptyList(),
) {
    fun toMap(): Map<String, String> = mapOf(
        "status" to status.name,
        "prompt" to wish.prompt,
        "seed" to wish.seed.toString(),
        "steps" to wish.steps.toString(),
        "guidance" to wish.guidance.toString(),
        "lowMemory" to wish.lowMemory.toString(),
        "cut" to wish.cut.toString(),
        "stage" to stage,
        "step" to step.toString(),
        "total" to total.toString(),
        "code" to code,
        "dropped" to dropped,
        "figures" to figures.joinToString(";") { "${it.stage},${it.seconds},${it.bytes}" },
    )

    fun toBundle(): Bundle = Bundle().also { bundle -> toMap().forEach { (key, text) -> bundle.putString(key, text) } }

    companion object {
        /** Reads what [toMap] writes; what is missing or unreadable is as in a new record. */
        fun of(read: (String) -> String?): Record {
            val new = Record()
            val wish = Wish(
                read("prompt").orEmpty(),
                read("seed")?.toLongOrNull() ?: new.wish.seed,
                read("steps")?.toIntOrNull() ?: new.wish.steps,
                read("guidance")?.toDoubleOrNull() ?: new.wish.guidance,
                read("lowMemory").toBoolean(),
                read("cut").toBoolean(),
            )
            return Record(
                Status.values().firstOrNull { it.name == read("status") } ?: new.status,
                wish,
                read("stage").orEmpty(),
                read("step")?.toIntOrNull() ?: 0,
                read("total")?.toIntOrNull() ?: 0,
                read("code").orEmpty(),
                read("dropped").orEmpty(),
                read("figures").orEmpty().split(";").mapNotNull(::figure),
            )
        }

        fun of(bundle: Bundle): Record = of(bundle::getString)

        private fun figure(text: String): Figure? {
            val parts = text.split(",")
            if (parts.size != 3) return null
            return Figure(parts[0], parts[1].toDoubleOrNull() ?: return null, parts[2].toLongOrNull() ?: return null)
        }
    }
}

/** A picture that was drawn, and what it says of itself: the record may be of a later drawing, which came to nothing. */
data class Drawn(val file: File, val prompt: String, val seed: String)

/** The last drawing on disk: its record and its picture. The drawing's process alone writes. */
class Journal(private val folder: File) {
    private val file = File(folder, "drawing.properties")
    val picture = File(folder, "picture.png")

    fun read(): Record = try {
        val properties = Properties().apply { file.reader().use(::load) }
        Record.of(properties::getProperty)
    } catch (missing: IOException) {
        Record()
    } catch (damaged: IllegalArgumentException) {
        Record()
    }

    /** The last picture, null where none was drawn. */
    fun drawn(): Drawn? = try {
        val texts = picture.inputStream().buffered().use(Png::texts)
        Drawn(picture, texts["prompt"].orEmpty(), texts["seed"].orEmpty())
    } catch (missing: IOException) {
        null
    }

    /** Replaces the record; the old one stays where there is no room. */
    fun write(record: Record) = replace(file) { stream ->
        Properties().apply { putAll(record.toMap()) }.store(stream.writer(), null)
    }

    /** Replaces [goal] by what [write] writes, whole or not at all. Throws IOException as the system does. */
    fun replace(goal: File, write: (FileOutputStream) -> Unit) {
        val part = File(folder, "${goal.name}.part")
        try {
            FileOutputStream(part).use { stream ->
                write(stream)
                stream.fd.sync()
            }
            if (!part.renameTo(goal)) throw IOException("$goal cannot be replaced")
        } finally {
            part.delete()
        }
    }
}
